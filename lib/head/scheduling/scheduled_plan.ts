/** Plans of a step, as the scheduler makes them. Pure. */
import type { KvTransfer } from '../../protocol/kv_transfer.js';
import { SAMPLED, type PlanPart, type StepPlan } from '../../protocol/step_plan.js';
import type { Running } from './progress.js';

/** What a rank computes in a step; which placement it computes with is not the scheduler's business. */
export type ScheduledPlan = Omit<StepPlan, 'placementVersion' | 'moveRound'>;

/** A part with the token that was not known when it was planned. */
export function withIds(part: PlanPart, running: ReadonlyMap<number, Running>): PlanPart {
  if (part.tokenIds[0] !== SAMPLED) return part;
  const { promptTokenIds, outputTokenIds } = running.get(part.sequence)!;
  return { ...part, tokenIds: [outputTokenIds[part.position - promptTokenIds.length]!] };
}

/** Generated tokens before those of prompts. */
export const generatedFirst = (parts: readonly PlanPart[]): PlanPart[] => [
  ...parts.filter(({ isPrompt }) => !isPrompt),
  ...parts.filter(({ isPrompt }) => isPrompt),
];

/** Each rank is told of its own. */
export const withTransfers = (plans: ScheduledPlan[], transfers: readonly KvTransfer[]): ScheduledPlan[] =>
  plans.map((plan, rank) => {
    const kv = transfers.filter(({ from, to }) => from === rank || to === rank);
    return kv.length === 0 ? plan : { ...plan, kv };
  });

/** Of tokens that were not generated in the step before. */
export const numPrefillTokensOf = ({ parts }: ScheduledPlan): number =>
  parts.reduce((sum, { isPrompt, isReplay, tokenIds }) => sum + (isPrompt || isReplay ? tokenIds.length : 0), 0);
