/** Steps that began on the members of a job, until each has all its results, is abandoned, or takes too long. */
import { Deadline } from '../../comm/base/deadline.js';
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
  /** When ranks were told, of `performance.now()`. */
  readonly begunMs: number;
  resolve(outcome: StepOutcome): void;
  reject(error: EngineError): void;
}

/** A step that its missing ranks should have finished by now. */
export interface LateStep extends Pick<RunningStep, 'step' | 'missing'> {
  /** How long they had. */
  readonly afterMs: number;
  /** Since others had finished it; or else since it began, or the one before it ended. */
  readonly since: 'others' | 'begin';
}

/** How long ranks may take. */
export interface StepPatience {
  /** For a step. */
  readonly stepMs: number;
  /** For what a rank does behind the last exchange of a step, besides {@link TAIL} times what the step took until then. Null: for that there is no limit of its own. */
  readonly tailMs: number | null;
  /** Told once, until the next step begins or ends. */
  readonly onLate: (late: LateStep) => void;
}

/** Logits of many rows take longer than layers do. */
const TAIL = 4;

/** In the order in which they began: the ranks are at the first, or some of them already at the second. */
export class RunningSteps {
  private readonly running: RunningStep[] = [];
  /** The last step that began. */
  private last = 0;
  /** Of the first of them. */
  private deadline: Deadline | null = null;

  constructor(private readonly patience: StepPatience) {}

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
      const progress = { results: plans.map(() => null), missing: new Set(members), begunMs: performance.now() };
      this.running.push({ step, placementVersion, ...progress, resolve, reject });
      if (this.deadline === null) this.wait();
    });
  }

  /** Takes a rank's result; null where it is of a step that was abandoned. */
  take(rank: number, result: StepResult): RunningStep | null {
    const running = this.running.find(({ step }) => step === result.step);
    if (running === undefined) return null;
    const isFirstResult = !hasResult(running);
    running.results[rank] = result;
    running.missing.delete(rank);
    if (isFirstResult && running === this.first) this.wait();
    return running;
  }

  /** The first one has all its results. */
  finish(): void {
    const done = this.running.shift()!;
    this.wait();
    done.resolve({ kind: 'done', results: done.results });
  }

  /** Nothing of them counts. Returns the first of them. */
  abandon(): number | null {
    const abandoned = this.running.splice(0);
    this.wait();
    for (const each of abandoned) each.resolve({ kind: 'abandoned' });
    return abandoned[0]?.step ?? null;
  }

  /** They can't end. */
  fail(error: EngineError): void {
    const failed = this.running.splice(0);
    this.wait();
    for (const each of failed) each.reject(error);
  }

  /** The step that a rank is at: the first that it hasn't answered, or the last that there was; 0: none began. */
  stepOf(rank: number): number {
    return this.running.find(({ missing }) => missing.has(rank))?.step ?? this.last;
  }

  /**
   * Anew, for the first step. Who has finished it has had rows of all others in the last layer that has experts.
   * Why: docs/decisions/losses.md#who-is-missed-by-nobody
   */
  private wait(): void {
    this.deadline?.cancel();
    const { first } = this;
    const { stepMs, tailMs, onLate } = this.patience;
    const isTail = first !== null && tailMs !== null && hasResult(first);
    const afterMs = isTail ? Math.min(stepMs, tailMs + TAIL * (performance.now() - first.begunMs)) : stepMs;
    const late = first && { step: first.step, missing: first.missing, afterMs: Math.round(afterMs) };
    this.deadline = late && new Deadline(afterMs, () => onLate({ ...late, since: isTail ? 'others' : 'begin' }));
  }
}

const hasResult = ({ results }: RunningStep): boolean => results.some((result) => result !== null);
