/**
 * Where the tokens of a step go: what was chosen, for recordings, and what is to be chosen, for experiments. Pure.
 * Why: docs/decisions/routing.md#routing-from-outside
 */
import type { RoutingObserver } from '../../experts/load/load_recorder.js';
import type { TokenRecord } from '../../experts/load/recording.js';
import type { RoutingSource } from '../../experts/routing/routing_source.js';
import type { StepPlan } from '../protocol/step_plan.js';
import type { ObservedStep, StepObserver } from './observing/step_observer.js';

/** Tells a recorder what every step routed; `width` is L·K, the choices of one token. */
export const recordingObserver = (recorder: RoutingObserver, width: number): StepObserver => ({
  observe: (observed) => {
    const { step, numTokens, load_LE, rankLoad_LR, placement } = observed;
    return recorder.add({ step, numTokens, load_LE, rankLoad_LR, placement, tokens: routedTokens(observed, width) });
  },
});

/** The experts of each token whose output counts. Nothing for ranks that didn't report them. */
function* routedTokens({ plans, results }: ObservedStep, width: number): Generator<TokenRecord, void, undefined> {
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

/** The plans with the experts that `source` chooses for every token, [n·L·K] per part. Pure. */
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
