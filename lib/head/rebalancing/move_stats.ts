/** What moving experts came to: all of them that one placement wanted elsewhere, and of a job so far. */
import type { EngineError } from '../../protocol/errors.js';

/** All experts are where a placement wants them. */
export interface Moved {
  /** Of the placement that is in force now. */
  readonly version: number;
  /** The first step that runs with it. */
  readonly step: number;
  /** Experts that ranks got, per layer and rank, and the bytes of those that came from other ranks. */
  readonly numMovedExperts: number;
  readonly movedBytes: number;
  /** Steps from the first one beside which experts moved to the last. */
  readonly numSteps: number;
}

/** What became of experts that were to move. */
export type MoveEnd =
  | { readonly kind: 'moved'; readonly moved: Moved }
  /** Some rank couldn't: the placement stays as it is. `code`: of what went wrong there; null: it moves something else. */
  | { readonly kind: 'failed'; readonly rank: number; readonly code: string | null; readonly why: string }
  /** Ranks came or went meanwhile, or somebody wants another placement: nobody is to blame. */
  | { readonly kind: 'dropped'; readonly error: EngineError };

/** Of a job so far. */
export interface MoveStats {
  readonly numMovedExperts: number;
  readonly movedBytes: number;
  /** The most that moving experts held up one step: reading rows before it and waiting for rows behind it, on the slowest rank. */
  readonly longestStallMs: number;
  /** The longest step beside which experts moved, and the median of the last steps beside which none did; null: there were none. */
  readonly longestStepMs: number | null;
  readonly medianStepMs: number | null;
}

const NUM_STEP_TIMES = 256;

/** Counts what a mover does. */
export class MoveFigures {
  private readonly counts = {
    ...{ numMovedExperts: 0, movedBytes: 0, longestStallMs: 0, longestStepMs: null as number | null },
  };
  /** Of the last steps beside which nothing moved. */
  private readonly stepTimesMs: number[] = [];

  /** A step beside which nothing moved. */
  stepped(stepMs: number): void {
    this.stepTimesMs.push(stepMs);
    if (this.stepTimesMs.length > NUM_STEP_TIMES) this.stepTimesMs.shift();
  }

  /** A step beside which experts moved: what that came to, over all ranks. */
  moved(bytes: number, stallMs: number, stepMs: number): void {
    const { counts } = this;
    counts.movedBytes += bytes;
    counts.longestStallMs = Math.max(counts.longestStallMs, stallMs);
    counts.longestStepMs = Math.max(counts.longestStepMs ?? 0, stepMs);
  }

  /** Experts are in force where they moved to. */
  switched(numExperts: number): void {
    this.counts.numMovedExperts += numExperts;
  }

  /** So far. */
  get numMovedExperts(): number {
    return this.counts.numMovedExperts;
  }

  /** So far. */
  stats(): MoveStats {
    const medianStepMs = this.stepTimesMs.toSorted((a, b) => a - b)[this.stepTimesMs.length >> 1] ?? null;
    return { ...this.counts, medianStepMs };
  }
}
