/**
 * Where the tokens of a step go: what was chosen, for recordings, and what is to be chosen, for experiments. Pure.
 * Why: docs/decisions/routing.md#routing-from-outside
 */
import type { RoutingObserver } from '../../experts/load/load_recorder.js';
import type { TokenRecord } from '../../experts/load/recording.js';
import type { Placement } from '../../experts/placement/placement.js';
import { wholePlacement } from '../../experts/placement/slices.js';
import { usedSeats } from '../../experts/placement/used_seats.js';
import type { RoutingSource } from '../../experts/routing/routing_source.js';
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { isAt, type Look } from '../protocol/look.js';
import type { StepPlan } from '../protocol/step_plan.js';
import { TokenTables } from './hooks/token_tables.js';
import type { ObservedStep, StepObserver } from './observing/step_observer.js';

/** What requests are to tell a recorder of router logits; null: nothing. */
export const recordedLook = ({ routerLogitsShare: share }: RoutingObserver, spec: ModelSpec): Look | null =>
  share === undefined ? null : { layers: { router_logits: moeLayersOf(spec) }, tokens: 'all', share, seed: 0 };

/** What a recorder is told of. */
export interface RecordingOptions {
  /** L·K, the choices of one token. */
  readonly width: number;
  /** Its own. Default none. */
  readonly look?: Look | null;
  /** Into which the job divides experts. Default 1: none. */
  readonly numSlices?: number;
  /** Seats up to the highest that was ever taken: further ones are no ranks to it. */
  readonly numRanks: () => number;
}

/** Tells a recorder what every step routed. */
export function recordingObserver(
  recorder: RoutingObserver,
  { width, look = null, numSlices = 1, numRanks: numRanksNow }: RecordingOptions,
): StepObserver {
  let shown: { readonly whole: Placement; readonly seen: Placement } | null = null;
  return {
    observe(observed) {
      const { step, numTokens, load_LE, placement: whole } = observed;
      const numRanks = numRanksNow();
      if (shown?.whole !== whole || shown.seen.numRanks !== numRanks)
        shown = { whole, seen: wholePlacement(usedSeats(whole, numRanks), numSlices) };
      return recorder.add({
        ...{ step, numTokens, load_LE, placement: shown.seen },
        rankLoad_LR: observed.rankLoad_LR.map((load_R) => load_R.slice(0, numRanks)),
        tokens: routedTokens(observed, width, look),
      });
    },
  };
}

/** The experts of each token whose output counts. Nothing for ranks that didn't report them. */
function* routedTokens(
  { plans, results }: ObservedStep,
  width: number,
  look: Look | null,
): Generator<TokenRecord, void, undefined> {
  for (const [rank, { step, parts }] of plans.entries()) {
    for (const [i, output] of (results[rank]?.outputs ?? []).entries()) {
      const { routedExperts } = output;
      if (routedExperts === undefined) continue; // of tokens that were computed again too
      const tables = new TokenTables(parts[i]!, output, []);
      const { sequence: request, position, tokenIds } = parts[i]!;
      for (const [row, tokenId] of tokenIds.entries()) {
        const experts = routedExperts.subarray(row * width, (row + 1) * width);
        const isWanted = look !== null && isAt(look, request, position + row, true);
        const logits = isWanted && { routerLogits: routerLogitsOf(look, tables, row) };
        yield { step, request, position: position + row, tokenId, experts, ...logits };
      }
    }
  }
}

/** [L·E] */
function routerLogitsOf({ layers }: Look, tables: TokenTables, token: number): Float32Array {
  const rows = layers.router_logits!.map((layer) => tables.row('router_logits', layer, token) as Float32Array);
  const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  rows.forEach((row, l) => all.set(row, l * row.length));
  return all;
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
