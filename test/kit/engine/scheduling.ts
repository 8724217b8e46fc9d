/** Requests and steps for a scheduler that no rank stands behind. */
import { fcfs } from '../../../lib/head/scheduling/policies/fcfs.js';
import type {
  ScheduledPlan,
  Scheduler,
  SchedulerOptions,
  SequenceRequest,
} from '../../../lib/head/scheduling/scheduler.js';
import type { Place, RunningView, WaitingView } from '../../../lib/head/scheduling/policy.js';
import type { PlanPart, SequenceOutput } from '../../../lib/protocol/step_plan.js';
import { GREEDY } from '../../../lib/protocol/sampling.js';

export const OPTIONS: SchedulerOptions = {
  numRanks: 1,
  maxNumSeqs: 4,
  maxNumBatchedTokens: 16,
  blockSize: 4,
  numKvBlocks: 32,
  maxToldBytes: 8,
  policy: fcfs,
  sharing: { seed: '', separatesForms: true },
  numHeadroomBlocks: 0,
  kv: { rowBytes: 8, stateBytes: 0, bytesPerStep: 24 },
  told: {
    numTopk: 2,
    bytesOf: ({ wants }) => {
      const numBytes = wants.logits ? 1 : 0;
      return () => numBytes;
    },
  },
};

/** Prompt tokens name their family and position: of one family, the shorter prompt begins the longer one. Default: a family of its own. */
export const request = (
  sequence: number,
  promptLength: number,
  maxNewTokens = 2,
  { logits = false, family = sequence, priority = 0 } = {},
): SequenceRequest => ({
  sequence,
  priority,
  promptTokenIds: Array.from({ length: promptLength }, (_, i) => family * 1000 + i),
  maxNewTokens,
  sampling: GREEDY,
  wants: { routedExperts: false, logprobs: null, promptLogprobs: logits ? 0 : null, logits },
});

/** What a sequence samples at a position: nothing that stands for something else. */
export const sampledToken = (sequence: number, position: number): number => -(sequence * 1000 + position + 1);

export const endOf = ({ position, tokenIds }: Pick<PlanPart, 'position' | 'tokenIds'>): number =>
  position + tokenIds.length;

/** What a rank would answer. `tokenOf`: what it samples, default {@link sampledToken}. */
export const outputsOf = (
  { parts }: ScheduledPlan,
  tokenOf = (part: PlanPart): number => sampledToken(part.sequence, endOf(part)),
): SequenceOutput[] => parts.map((part) => ({ sequence: part.sequence, tokenId: part.sample ? tokenOf(part) : null }));

/** The next step, which succeeds on all ranks. */
export function stepOf(scheduler: Scheduler): ScheduledPlan[] {
  const plans = scheduler.next()!;
  for (const plan of plans) scheduler.commit(plan, outputsOf(plan));
  return plans;
}

/** A new epoch without some ranks of those that there are; all others take sequences. */
export function lose(scheduler: Scheduler, ranks: readonly number[], epoch: number, failed: readonly number[] = []) {
  const present = new Set(scheduler.load.ranks.map(({ rank }) => rank).filter((rank) => !ranks.includes(rank)));
  return scheduler.enter({ epoch, present, takers: present, leaving: new Set(), failed, hasAbandoned: true });
}

export const sequencesOf = (plans: readonly ScheduledPlan[]): number[][] =>
  plans.map(({ parts }) => parts.map(({ sequence }) => sequence));

/** Per part: sequence, position, tokens, and whether it is a replay. */
export const shapesOf = ({ parts }: ScheduledPlan): [number, number, number, boolean][] =>
  parts.map(({ sequence, position, tokenIds, isReplay }) => [sequence, position, tokenIds.length, isReplay]);

/** A rank with so many sequences, nothing else, and room. */
export const place = (rank: number, numSequences: number, rest: Partial<Place> = {}): Place => ({
  ...{
    rank,
    numSequences,
    numFreeBlocks: 9,
    numCachedTokens: 0,
    numIdleTokens: 0,
    numPrefillTokens: 0,
    numKvTokens: 0,
    pace: 1,
  },
  ...rest,
});

export const waitingView = (sequence: number, rest: Partial<WaitingView> = {}): WaitingView => ({
  ...{ sequence, priority: 0, numOvertaken: 0 },
  ...rest,
});

export const runningView = (
  sequence: number,
  numReady: number,
  isGenerating = false,
  wantsLogits = false,
  priority = 0,
): RunningView => ({ sequence, priority, numReady, isGenerating, toldBytes: wantsLogits ? () => 1 : null });
