/** A job whose ranks take as long as a test tells them to: their reports say so, whatever the machine does. */
import { STEP_PHASES, type StepPhase } from '../../../compute/base/stopwatch.js';
import { Job } from '../../../lib/job/job.js';
import type { StepOutcome } from '../../../lib/job/step_runner.js';
import type { StepPlan, StepResult } from '../../../lib/protocol/step_plan.js';

export class PacedJob extends Job {
  /** By seat, times the time of a usual rank; where there is none, what they measured. */
  paces: number[] | null = null;

  override step(plans: readonly StepPlan[]): Promise<StepOutcome> {
    const outcome = super.step(plans).then((each) => this.paced(each, plans));
    outcome.catch(() => undefined); // as with those of any job
    return outcome;
  }

  private paced(outcome: StepOutcome, plans: readonly StepPlan[]): StepOutcome {
    const { paces } = this;
    if (outcome.kind === 'abandoned' || paces === null) return outcome;
    const { results } = outcome;
    const rows = (rank: number): number =>
      results.reduce((sum, result) => sum + (result?.rankLoad.reduce((own, load_R) => own + load_R[rank]!, 0) ?? 0), 0);
    const paced = (result: StepResult | null, rank: number): StepResult | null =>
      result && { ...result, phasesMs: phasesOf(paces[rank] ?? 1, plans[rank]!, rows(rank)) };
    return { ...outcome, results: results.map(paced) };
  }
}

function phasesOf(pace: number, { parts }: StepPlan, numRows: number): Record<StepPhase, number> {
  const numTokens = parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const none = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0])) as Record<StepPhase, number>;
  return { ...none, experts: pace * (10 + numRows), attention: pace * (15 + 10 * numTokens) };
}
