/**
 * Variants in turns, and what rounds say: a shared machine drifts, so only figures of the same round are compared. Pure.
 * Why: docs/decisions/measuring.md#benchmarks-compare-within-a-round
 */
import { median } from '../base/machine.js';

/** Another one begins in each round, so that none always runs behind the same one. */
export const inTurn = <T>(variants: readonly T[], round: number): T[] => {
  const first = round % variants.length;
  return [...variants.slice(first), ...variants.slice(0, first)];
};

/** How many times less something was than in the baseline, round by round. */
export interface Gain {
  /** Of the rounds. */
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
}

/** @param baseline of the same rounds */
export function gainOf(baseline: readonly number[], values: readonly number[]): Gain {
  const ratios = values.map((value, round) => baseline[round]! / value);
  return { median: median(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) };
}

/** Below it, measured gains say nothing about their share of it. */
const LEAST_GAIN = 1.01;

/** The share of a predicted gain that was reached: 1 = all, 0 = nothing was gained; null: there is nothing to reach. */
export const shareReached = (predicted: number, reached: number): number | null =>
  predicted < LEAST_GAIN ? null : (reached - 1) / (predicted - 1);
