/** What an engine came to until a moment, and what its processes cost: two of them tell of the time between. */
import type { Engine, EngineStats } from '../../../lib/head/engine.js';
import { coreMs } from '../../base/core_time.js';

/** Of one moment. */
export interface Snapshot {
  readonly stats: EngineStats;
  /** Of the head and its ranks; null: not told. */
  readonly coreMs: number | null;
}

/** Of this moment; the head is this process. */
export async function snapshotOf(engine: Engine): Promise<Snapshot> {
  const stats = engine.stats();
  const pids = stats.loadReports.map(({ pid }) => pid);
  return { stats, coreMs: await coreMs([process.pid, ...pids]) };
}

/** Sum of a matrix. */
export const total = (matrix: readonly ArrayLike<number>[]): number =>
  matrix.reduce((sum, row) => sum + Array.from(row).reduce((a, b) => a + b, 0), 0);

/** after − before, entry by entry; what wasn't there before was 0. */
export const difference = (after: readonly ArrayLike<number>[], before: readonly ArrayLike<number>[]): number[][] =>
  after.map((row, i) => Array.from(row, (value, j) => value - (before[i]?.[j] ?? 0)));
