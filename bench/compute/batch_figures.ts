/** What a batch of routed experts reached, from the times of one run of everything that is compared. */
import type { ComputeShape } from './options.js';
import type { Times } from './turns.js';

/** Figures of one batch: medians, but for the two that name the best runs. GB/s and GFLOP/s count 10⁹. */
export interface BatchRow {
  readonly tokens: number;
  readonly active_experts: number;
  readonly rows_per_expert: number;
  readonly ms: number;
  readonly weights_gb_per_s: number;
  readonly gflops: number;
  /** Of the bandwidth measured beside it. */
  readonly bandwidth_share: number;
  /** Of the large matmul measured beside it. */
  readonly matmul_share: number;
  /** The same of the best runs. */
  readonly best_bandwidth_share: number;
  readonly best_matmul_share: number;
}

/** The size of a batch: its tokens, the experts that get rows, and the rows of all of them. */
export interface Batch {
  readonly tokens: number;
  readonly numActive: number;
  readonly numRows: number;
}

/** A run and what it is compared with, in 10⁹ per second. */
export interface TimedRun {
  readonly bandwidth: number;
  readonly matmul: number;
  readonly ms: number;
}

/** 10⁹ per second. */
export const giga = (amount: number, ms: number): number => amount / ms / 1e6;

/** Floating point operations of a product [rows, inner] × [inner, columns]: a multiplication and an addition each. */
export const flopsOf = ([rows, inner, columns]: readonly [number, number, number]): number =>
  2 * rows * inner * columns;

/** A run's milliseconds with the yardsticks of the same turns: `bytes` of the run that moves them, and the run 'matmul'. */
export const besideYardsticks =
  (times: Times, bytes: { readonly run: string; readonly amount: number }, matmul: readonly [number, number, number]) =>
  (kind: keyof Times, name: string): TimedRun => ({
    bandwidth: giga(bytes.amount, times[kind].get(bytes.run)!),
    matmul: giga(flopsOf(matmul), times[kind].get('matmul')!),
    ms: times[kind].get(name)!,
  });

/** Of one batch; `median` and `best` of its own time and of the yardsticks. */
export function batchRow(
  { hidden, intermediate }: ComputeShape,
  { tokens, numActive, numRows }: Batch,
  expertBytes: number,
  median: TimedRun,
  best: TimedRun,
): BatchRow {
  const [weights, work] = [numActive * expertBytes, numRows * 6 * hidden * intermediate];
  return {
    ...{ tokens, active_experts: numActive, rows_per_expert: numRows / numActive, ms: median.ms },
    ...{ weights_gb_per_s: giga(weights, median.ms), gflops: giga(work, median.ms) },
    bandwidth_share: giga(weights, median.ms) / median.bandwidth,
    matmul_share: giga(work, median.ms) / median.matmul,
    best_bandwidth_share: giga(weights, best.ms) / best.bandwidth,
    best_matmul_share: giga(work, best.ms) / best.matmul,
  };
}
