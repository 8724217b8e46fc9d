/** Percentiles of what was measured in the last seconds, in constant memory. */
import { LIVE_LIMITS, type LivePercentiles } from './messages.js';

/** The last latencies, and when each was measured. */
export class Latencies {
  private readonly ms: Float64Array;
  private readonly atMs: Float64Array;
  private numPushed = 0;

  /** Of the last `windowS` seconds, at most the last `capacity` ones. */
  constructor(
    private readonly windowS: number = LIVE_LIMITS.latencyWindowS,
    private readonly capacity: number = LIVE_LIMITS.numLatencies,
  ) {
    this.ms = new Float64Array(capacity);
    this.atMs = new Float64Array(capacity);
  }

  /** Something took `ms` and ended at `atMs`, which never goes back. */
  push(ms: number, atMs: number): void {
    const at = this.numPushed++ % this.capacity;
    this.ms[at] = ms;
    this.atMs[at] = atMs;
  }

  /** The smallest values that at least these shares of all don't exceed; null: nothing was measured in the window that ends now. */
  percentiles(nowMs: number): LivePercentiles | null {
    const sorted = this.recent(nowMs - this.windowS * 1000).sort();
    if (sorted.length === 0) return null;
    const of = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1]!;
    return { p50: of(0.5), p90: of(0.9), p99: of(0.99) };
  }

  private recent(fromMs: number): Float64Array {
    const numKept = Math.min(this.numPushed, this.capacity);
    const recent = new Float64Array(numKept);
    let n = 0;
    for (let i = 0; i < numKept; i++) if (this.atMs[i]! > fromMs) recent[n++] = this.ms[i]!;
    return recent.subarray(0, n);
  }
}
