/** How much larger channels become in weights, by what they carry. Pure. */

/** Shares of the differences between channels that weights take over: 0 is none, 1 all that activations have. */
export const SHARES = Array.from({ length: 11 }, (_, i) => i / 10);

/** Factors are at most so many powers of two apart. */
const MOST_POWERS = 12;

/** Powers of two from 1 on: (magnitude / that of other channels) to the power of `share`, the exponent rounded. @param magnitudes of channels, e.g. Σ |x| */
export function channelFactors(magnitudes: Float64Array, share: number): Float32Array {
  const logarithms = magnitudes.map((magnitude) => Math.log2(magnitude));
  const finite = logarithms.filter((logarithm) => Number.isFinite(logarithm));
  if (finite.length === 0) return new Float32Array(magnitudes.length).fill(1);
  const mean = finite.reduce((sum, logarithm) => sum + logarithm, 0) / finite.length;
  const powers = logarithms.map((logarithm) =>
    Number.isFinite(logarithm) ? Math.round(share * (logarithm - mean)) : -Infinity,
  );
  const most = Math.max(...powers);
  const least = Math.max(
    powers.reduce((low, power) => (power > -Infinity ? Math.min(low, power) : low), most),
    most - MOST_POWERS,
  );
  return Float32Array.from(powers, (power) => 2 ** (Math.max(power, least) - least));
}

/** Those of all shares, each once; the first is of share 0, which changes nothing. */
export function candidates(magnitudes: Float64Array): { readonly share: number; readonly factors: Float32Array }[] {
  const seen = new Set<string>();
  return SHARES.flatMap((share) => {
    const factors = channelFactors(magnitudes, share);
    const key = factors.join();
    if (seen.has(key)) return [];
    seen.add(key);
    return [{ share, factors }];
  });
}
