/** Reproducible test data. */

export { randomFrom } from '../../experts/routing/random.js';

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
