/** How long the steps of a job took, and how many ranks ran each. */
import type { ObservedStep } from '../../lib/head/observing/step_observer.js';
import type { EngineObserver } from '../../lib/head/watchers.js';

/** A step. */
export interface StepTime {
  /** When it was over, of `performance.now()`. */
  readonly atMs: number;
  readonly stepMs: number;
  readonly numRanks: number;
  /** How much longer it took because experts or sequences moved beside it, on the slowest rank. */
  readonly stallMs: number;
}

/** Follows an engine. */
export class StepTimes implements EngineObserver {
  readonly all: StepTime[] = [];

  /** A step that counts. */
  step({ stepMs, results }: ObservedStep): void {
    const numRanks = results.filter((result) => result !== null).length;
    const stalls = results.map((result) => (result?.moved?.stallMs ?? 0) + (result?.kv?.stallMs ?? 0));
    this.all.push({ atMs: performance.now(), stepMs, numRanks, stallMs: Math.max(...stalls) });
  }
}
