/** What the scheduler did in the last steps. Shape suffix: R ranks. */
import type { RequestNews } from '../../head/observing/request_news.js';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { StepPlan } from '../../protocol/step_plan.js';
import { LIVE_LIMITS, type LiveStep } from './messages.js';
import { Ring } from './ring.js';

/** The last steps, each with what its plans say. */
export class StepLog {
  readonly steps = new Ring<LiveStep>(LIVE_LIMITS.numSteps);
  /** Since the last step. */
  private readonly numPreempted_R: number[];

  constructor(numRanks: number) {
    this.numPreempted_R = new Array<number>(numRanks).fill(0);
  }

  /** A sequence gives way to a step that is planned: the next one to end, or the one behind it. */
  hear(news: RequestNews): void {
    if (news.kind === 'preempted') this.numPreempted_R[news.rank]!++;
  }

  /** Adds a step that counts. */
  add({ step, stepMs, plans }: ObservedStep): void {
    this.steps.push({
      ...{ step, stepMs },
      numPrefill_R: plans.map((plan) => tokensOf(plan, true)),
      numDecode_R: plans.map((plan) => tokensOf(plan, false)),
      numAdmitted_R: plans.map(({ begin }) => begin.length),
      numPreempted_R: [...this.numPreempted_R],
    });
    this.numPreempted_R.fill(0);
  }
}

function tokensOf({ parts }: StepPlan, isPrefill: boolean): number {
  let sum = 0;
  for (const part of parts) if ((part.isPrompt || part.isReplay) === isPrefill) sum += part.tokenIds.length;
  return sum;
}
