/** Steps that began on the members of a job, until each has all its results or is abandoned. */
import type { EngineError } from '../protocol/errors.js';
import type { StepPlan, StepResult } from '../protocol/step_plan.js';
import type { StepOutcome } from './step_runner.js';

/** A step that began. */
export interface RunningStep {
  readonly step: number;
  readonly placementVersion: number;
  /** By seat. */
  readonly results: (StepResult | null)[];
  /** Ranks whose result is not there yet. */
  readonly missing: Set<number>;
  resolve(outcome: StepOutcome): void;
  reject(error: EngineError): void;
}

/** In the order in which they began: the ranks are at the first, or some of them already at the second. */
export class RunningSteps {
  private readonly running: RunningStep[] = [];
  /** The last step that began. */
  private last = 0;

  /** The one whose results are waited for. */
  get first(): RunningStep | null {
    return this.running[0] ?? null;
  }

  /** A step begins; `plans` by seat. */
  begin(plans: readonly StepPlan[], members: ReadonlySet<number>): Promise<StepOutcome> {
    const { step, placementVersion } = plans[0]!;
    this.last = step;
    // A promise of its own for each step: racing against one that outlives it would keep every step's results alive.
    return new Promise<StepOutcome>((resolve, reject) => {
      const progress = { results: plans.map(() => null), missing: new Set(members) };
      this.running.push({ step, placementVersion, ...progress, resolve, reject });
    });
  }

  /** Takes a rank's result; null where it is of a step that was abandoned. */
  take(rank: number, result: StepResult): RunningStep | null {
    const running = this.running.find(({ step }) => step === result.step);
    if (running === undefined) return null;
    running.results[rank] = result;
    running.missing.delete(rank);
    return running;
  }

  /** The first one has all its results. */
  finish(): void {
    const done = this.running.shift()!;
    done.resolve({ kind: 'done', results: done.results });
  }

  /** Nothing of them counts. Returns the first of them. */
  abandon(): number | null {
    const abandoned = this.running.splice(0);
    for (const each of abandoned) each.resolve({ kind: 'abandoned' });
    return abandoned[0]?.step ?? null;
  }

  /** They can't end. */
  fail(error: EngineError): void {
    for (const each of this.running.splice(0)) each.reject(error);
  }

  /** The step that a rank is at: the first that it hasn't answered, or the last that there was; 0: none began. */
  stepOf(rank: number): number {
    return this.running.find(({ missing }) => missing.has(rank))?.step ?? this.last;
  }
}
