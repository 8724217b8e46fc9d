/**
 * Where the tokens of a step go: what was chosen, for recordings, and what is to be chosen, for experiments. Pure.
 * Why: docs/decisions/routing.md#routing-from-outside
 */
import type { StepRouting } from '../../experts/load/load_recorder.js';
import type { TokenRecord } from '../../experts/load/recording.js';
import type { RoutingSource } from '../../experts/routing/routing_source.js';
import type { StepPlan, StepResult } from '../protocol/step_plan.js';

/** What a committed step routed; `width` is L·K. */
export const stepRouting = (
  plans: readonly StepPlan[],
  results: readonly (StepResult | null)[],
  counted: Pick<StepRouting, 'load_LE' | 'rankLoad_LR' | 'placement'>,
  width: number,
): StepRouting => ({
  step: plans[0]!.step,
  numTokens: plans.flatMap(({ parts }) => parts).reduce((sum, { tokenIds }) => sum + tokenIds.length, 0),
  ...counted,
  tokens: routedTokens(plans, results, width),
});

/** The experts of each token whose output counts. Nothing for ranks that didn't report them. */
function* routedTokens(
  plans: readonly StepPlan[],
  results: readonly (StepResult | null)[],
  width: number,
): Generator<TokenRecord, void, undefined> {
  for (const [rank, { step, parts }] of plans.entries()) {
    for (const [i, { routedExperts }] of (results[rank]?.outputs ?? []).entries()) {
      if (routedExperts === undefined) continue; // of tokens that were computed again too
      const { sequence: request, position, tokenIds } = parts[i]!;
      for (const [row, tokenId] of tokenIds.entries()) {
        const experts = routedExperts.subarray(row * width, (row + 1) * width);
        yield { step, request, position: position + row, tokenId, experts };
      }
    }
  }
}

/** The plans with the experts that `source` chooses for every token, [n·L·K] per part. */
export const withForcedExperts = (plans: readonly StepPlan[], source: RoutingSource, width: number): StepPlan[] =>
  plans.map((plan) => ({
    ...plan,
    parts: plan.parts.map((part) => {
      const { sequence, position, tokenIds } = part;
      const forcedExperts = new Uint16Array(tokenIds.length * width);
      tokenIds.forEach((_, i) =>
        source.choose(sequence, position + i, forcedExperts.subarray(i * width, (i + 1) * width)),
      );
      return { ...part, forcedExperts };
    }),
  }));
