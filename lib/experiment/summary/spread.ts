/** From measurements of one thing to their mean and how far it can be trusted. Pure. */
import { twoSidedT } from './student.js';
import type { Spread } from './summary.js';

/** What an interval promises. */
const CONFIDENCE = 0.95;

/** Of numbers that are all finite; null without any. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  const n = values.length;
  const [min, max] = [Math.min(...values), Math.max(...values)];
  const mean = min === max ? min : values.reduce((sum, value) => sum + value, 0) / n; // equal ones stay what they are, to the last digit
  const stdev = n === 1 ? 0 : Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  return { n, mean, stdev, ci: n === 1 ? null : intervalOf(mean, stdev, n), min, max };
}

function intervalOf(mean: number, stdev: number, n: number): readonly [number, number] {
  const half = (twoSidedT(n - 1, CONFIDENCE) * stdev) / Math.sqrt(n);
  return [mean - half, mean + half];
}

/** Of ratios: the geometric mean, and its interval from the spread of logarithms; `stdev`, `min` and `max` are of the ratios themselves. Null without any. */
export function ratioSpreadOf(ratios: readonly number[]): Spread | null {
  const [plain, logs] = [spreadOf(ratios), spreadOf(ratios.map(Math.log))];
  if (plain === null || logs === null) return null;
  const ci = logs.ci === null ? null : ([Math.exp(logs.ci[0]), Math.exp(logs.ci[1])] as const);
  const mean = plain.min === plain.max ? plain.min : Math.exp(logs.mean);
  return { ...plain, mean, ci: plain.min === plain.max && ci !== null ? [mean, mean] : ci };
}
