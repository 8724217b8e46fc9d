/** Whether the client itself was late: its event loop's delay while a load runs. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** In milliseconds. */
export interface LoopDelay {
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** The timer that is watched fires this often. */
const RESOLUTION_MS = 1;

/** Begins to watch; what is returned ends that and tells. */
export function watchLoopDelay(): () => LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  // What it records are the times between two of its timers.
  const late = (ns: number): number => (Number.isFinite(ns) ? Math.max(0, ns / 1e6 - RESOLUTION_MS) : 0);
  return () => {
    histogram.disable();
    return { meanMs: late(histogram.mean), p99Ms: late(histogram.percentile(99)), maxMs: late(histogram.max) };
  };
}
