/** When a job gets one rank more or one less: decided from the load of its last steps. Pure. Why: docs/decisions/elastic.md#the-policy-counts-in-steps */
import type { ExpertwireConfig } from '../../config/schema.js';
import { EngineError } from '../../protocol/errors.js';

/** What the policy goes by; `maxRanks` is a number here. */
interface PolicySettings extends Omit<ExpertwireConfig['elastic'], 'enabled' | 'max_ranks'> {
  readonly max_ranks: number;
}

/** What a step left behind. */
export interface LoadSample {
  /** Requests that wait for a place. */
  readonly waiting: number;
  /** Share of the KV blocks of all ranks that sequences hold. */
  readonly kv_usage: number;
  readonly step_ms: number;
  /** Share of the places for sequences that are taken, over all ranks. */
  readonly seqUsage: number;
}

/** That the number of ranks is to change, and the figures that say so. */
export interface PolicyDecision {
  readonly before: number;
  readonly after: number;
  readonly metric: PolicySettings['metric'];
  /** Of the metric, over the steps since the last decision; null: it was not asked, since there are fewer ranks than `min_ranks`, or more than `max_ranks`. */
  readonly mean: number | null;
  readonly numSteps: number;
}

/** What the ranks that stay may be filled to when one goes. */
const MOST_USAGE = 0.9;

/** The mean of each figure over the steps since the last decision, and how long the job rests after a change. */
export class ElasticPolicy {
  private sums: LoadSample = NOTHING;
  private numSteps = 0;
  private numRestSteps = 0;
  private hasFailed = false;

  constructor(private readonly settings: PolicySettings) {}

  /** After each step. Null: the ranks are as many as they should be, or it is too early to say. */
  decide(numRanks: number, sample: LoadSample): PolicyDecision | null {
    const { interval_steps: intervalSteps } = this.settings;
    if (this.numRestSteps > 0) this.numRestSteps--;
    const outside = this.numRestSteps > 0 && this.hasFailed ? null : withinBounds(numRanks, this.settings);
    if (outside !== null) return { ...outside, numSteps: this.numSteps };
    if (this.numRestSteps > 0) return null;
    this.sums = added(this.sums, sample);
    if (++this.numSteps < intervalSteps) return null;
    const decision = decisionOf(numRanks, scaled(this.sums, 1 / this.numSteps), this.settings);
    const told = decision && { ...decision, numSteps: this.numSteps };
    this.begin();
    return told;
  }

  /** @throws EngineError INVALID_REQUEST for a number of ranks at which it would not leave a job */
  check(numRanks: number): void {
    const { min_ranks: min, max_ranks: max } = this.settings;
    if (numRanks >= min && numRanks <= max) return;
    const text = `${numRanks} ranks, but the policy keeps from ${min} to ${max} (elastic.min_ranks, elastic.max_ranks)`;
    throw new EngineError('INVALID_REQUEST', `${text}; ask for as many, or start with other bounds`);
  }

  /** The number of ranks changed, or was to change and could not: nothing is decided for `cool_down` steps. */
  rest(hasFailed: boolean): void {
    this.hasFailed = hasFailed;
    this.numRestSteps = this.settings.cool_down + 1;
    this.begin();
  }

  private begin(): void {
    this.sums = NOTHING;
    this.numSteps = 0;
  }
}

/** Back to the bounds where ranks were lost, or joined unasked; null: they are kept. */
function withinBounds(
  before: number,
  { metric, min_ranks: min, max_ranks: max }: PolicySettings,
): Omit<PolicyDecision, 'numSteps'> | null {
  const after = Math.min(Math.max(before, min), max);
  return after === before ? null : { before, after, metric, mean: null };
}

function decisionOf(
  before: number,
  means: LoadSample,
  { metric, up, down, min_ranks: min, max_ranks: max }: PolicySettings,
): Omit<PolicyDecision, 'numSteps'> | null {
  const mean = means[metric];
  if (mean > up && before < max) return { before, after: before + 1, metric, mean };
  if (mean > down || before <= min) return null;
  const growth = before / (before - 1);
  const isCrowded = Math.max(means.kv_usage, means.seqUsage) * growth > MOST_USAGE;
  // What one rank less would call back at once.
  const wouldReturn = metric === 'kv_usage' && mean * growth > up;
  return isCrowded || wouldReturn ? null : { before, after: before - 1, metric, mean };
}

const NOTHING: LoadSample = { waiting: 0, kv_usage: 0, step_ms: 0, seqUsage: 0 };

const added = (a: LoadSample, b: LoadSample): LoadSample => ({
  waiting: a.waiting + b.waiting,
  kv_usage: a.kv_usage + b.kv_usage,
  step_ms: a.step_ms + b.step_ms,
  seqUsage: a.seqUsage + b.seqUsage,
});

const scaled = ({ waiting, kv_usage, step_ms, seqUsage }: LoadSample, by: number): LoadSample => ({
  waiting: by * waiting,
  kv_usage: by * kv_usage,
  step_ms: by * step_ms,
  seqUsage: by * seqUsage,
});
