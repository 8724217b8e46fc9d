/** From measurements of one thing to their mean and how far it can be trusted. Pure. */
import type { MetricInfo } from '../base/metric.js';
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

/** The values that count each by themselves: of a count one of each `key` (its seed, or its seed and point), as it is the same run after run; where it differs all the same, their mean. */
export function drawnAnew(
  found: readonly { readonly key: string; readonly value: number | null }[],
  kind: MetricInfo['kind'],
): readonly number[] {
  const byKey = new Map<string, number[]>();
  for (const { key, value } of found) {
    if (value !== null) byKey.set(key, [...(byKey.get(key) ?? []), value]);
  }
  const groups = [...byKey.values()];
  return kind === 'count' ? groups.map((values) => spreadOf(values)!.mean) : groups.flat();
}
