/** What the scheduler did in the last steps. A step takes no memory of its own, since it is on the way of the next one. Shape suffix: R ranks. */
import type { RequestNews } from '../../head/observing/request_news.js';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { StepPlan } from '../../protocol/step_plan.js';
import { LIVE_LIMITS, type LiveStep } from './messages.js';

/** Rows of a step: tokens of prompts, generated ones, sequences that begin, sequences that gave way. */
const NUM_ROWS = 4;

/** The last steps, each with what its plans say. R: the ranks that a job can have. */
export class StepLog {
  private numAdded = 0;
  /** [steps][NUM_ROWS][R] */
  private readonly rows: Int32Array;
  private readonly steps = new Float64Array(LIVE_LIMITS.numSteps);
  private readonly stepMs = new Float64Array(LIVE_LIMITS.numSteps);
  /** Since the last step. */
  private readonly numPreempted_R: Int32Array;

  constructor(private readonly numRanks: number) {
    this.rows = new Int32Array(LIVE_LIMITS.numSteps * NUM_ROWS * numRanks);
    this.numPreempted_R = new Int32Array(numRanks);
  }

  /** How many there were so far: what {@link after} counts in. */
  get count(): number {
    return this.numAdded;
  }

  /** A sequence gives way to a step that is planned: the next one to end, or the one behind it. */
  hear(news: RequestNews): void {
    if (news.kind === 'preempted') this.numPreempted_R[news.rank]!++;
  }

  /** Adds a step that counts. */
  add({ step, stepMs, plans }: ObservedStep): void {
    const { numRanks, rows } = this;
    const at = this.numAdded++ % LIVE_LIMITS.numSteps;
    this.steps[at] = step;
    this.stepMs[at] = stepMs;
    const from = at * NUM_ROWS * numRanks;
    for (let rank = 0; rank < numRanks; rank++) {
      const plan = plans[rank]!;
      rows[from + rank] = tokensOf(plan, true);
      rows[from + numRanks + rank] = tokensOf(plan, false);
      rows[from + 2 * numRanks + rank] = plan.begin.length;
      rows[from + 3 * numRanks + rank] = this.numPreempted_R[rank]!;
    }
    this.numPreempted_R.fill(0);
  }

  /** Of the steps after the first `count`, those that are kept, oldest first, and what the first `numRanks` ranks did in them. */
  after(count: number, numRanks: number): readonly LiveStep[] {
    const first = Math.max(count, this.numAdded - LIVE_LIMITS.numSteps, 0);
    return Array.from({ length: Math.max(this.numAdded - first, 0) }, (_, i) => this.stepAt(first + i, numRanks));
  }

  private stepAt(n: number, numRanks: number): LiveStep {
    const at = n % LIVE_LIMITS.numSteps;
    const row = (index: number): number[] => {
      const from = (at * NUM_ROWS + index) * this.numRanks;
      return Array.from(this.rows.subarray(from, from + numRanks));
    };
    return {
      step: this.steps[at]!,
      stepMs: Math.round(1000 * this.stepMs[at]!) / 1000,
      numPrefill_R: row(0),
      numDecode_R: row(1),
      numAdmitted_R: row(2),
      numPreempted_R: row(3),
    };
  }
}

function tokensOf({ parts }: StepPlan, isPrefill: boolean): number {
  let sum = 0;
  for (const part of parts) if ((part.isPrompt || part.isReplay) === isPrefill) sum += part.tokenIds.length;
  return sum;
}
