/** Reproducible test data. */

/** Numbers in [0, 1) from a seed: mulberry32, after T. Ettinger's public-domain code. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** float32 values, uniform in [−scale, scale). */
export const randomValues = (random: () => number, count: number, scale = 1): Float32Array =>
  Float32Array.from({ length: count }, () => (2 * random() - 1) * scale);

/** Whether two arrays hold the same bits: −0 is not 0. */
export const isSameBits = (a: Float32Array, b: Float32Array): boolean =>
  a.length === b.length && a.every((value, i) => Object.is(value, b[i]));

/** The largest |a − b|; NaN where an element is NaN, Infinity where the lengths differ. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}
