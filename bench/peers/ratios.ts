/** How the times of several engines, taken in turns, become ratios. Pure. */
import { median } from '../base/machine.js';

/** The middle of some values, and between which they lay. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of at least one value. */
export const spreadOf = (values: readonly number[]): Spread => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
});

/** How many times as fast one is as another. */
export interface Ratio extends Spread {
  /** Of the fastest round of each: what a machine leaves that others use too. */
  readonly best: number;
}

/** From the times of both, by round: of the ratios that each round has of itself, since a round in which the machine was slow is slow for both. */
export const pairedRatio = (theirs: readonly number[], ours: readonly number[]): Ratio => ({
  ...spreadOf(theirs.map((time, round) => time / ours[round]!)),
  best: Math.min(...theirs) / Math.min(...ours),
});

/** ‖a − b‖ / ‖b‖ */
export function relativeError(a: readonly number[], b: readonly number[]): number {
  const norm = (values: readonly number[]): number => Math.hypot(...values);
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

/** The place of the largest value. */
export const bestOf = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** How many tokens two answers begin with alike. */
export function numAlike(a: readonly number[], b: readonly number[]): number {
  const first = a.findIndex((token, i) => token !== b[i]);
  return first < 0 ? a.length : first;
}
