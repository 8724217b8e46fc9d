/** Floats of at most eight bits: code → value, every one of them exact in float32. Why: docs/decisions/formats.md#decoding-is-exact */

/** F8_E4M3 (FN): sign, 4 bits of exponent with bias 7, 3 of mantissa; no infinities, 0x7f and 0xff are NaN (OCP 8-bit Floating Point Specification, 2023). */
export const e4m3Values = (): Float32Array<ArrayBuffer> => valuesOf(8, 4, 7, (code) => (code & 0x7f) === 0x7f);

/** F4_E2M1: sign, 2 bits of exponent with bias 1, 1 of mantissa: 0, 0.5, 1, 1.5, 2, 3, 4, 6 (OCP Microscaling Formats, 2023). */
export const e2m1Values = (): Float32Array<ArrayBuffer> => valuesOf(4, 2, 1, () => false);

/** F8_E8M0: powers of two, 2^(code − 127); 0xff is NaN (OCP Microscaling Formats, 2023). */
export const e8m0Values = (): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: 256 }, (_, code) => (code === 0xff ? NaN : 2 ** (code - 127)));

/** A sign, then exponent and mantissa, subnormal where the exponent is 0. */
function valuesOf(
  numBits: number,
  exponentBits: number,
  bias: number,
  isNaN: (code: number) => boolean,
): Float32Array<ArrayBuffer> {
  const mantissaBits = numBits - 1 - exponentBits;
  return Float32Array.from({ length: 2 ** numBits }, (_, code) => {
    if (isNaN(code)) return NaN;
    const sign = code >> (numBits - 1) === 0 ? 1 : -1;
    const exponent = (code >> mantissaBits) & (2 ** exponentBits - 1);
    const fraction = (code & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
    return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
  });
}

/** The code of E4M3 next to a finite number, ties to even; beyond 448, the largest, it is that one's. */
export function nearestE4m3(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(value), 448);
  // Numbers of one exponent lie equally far from each other, below 2⁻⁶ as those of that exponent do.
  const exponent = Math.max(-6, Math.floor(Math.log2(magnitude)));
  const step = 2 ** (exponent - 3);
  const steps = roundedToEven(magnitude / step); // 8 … 16, fewer where subnormal; 16 is the next exponent's first
  return sign | (steps + (exponent + 6) * 8);
}

function roundedToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
