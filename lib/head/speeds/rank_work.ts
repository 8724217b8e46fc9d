/** What each rank had to do in a step and how long it took, apart from waiting. Pure. */
import type { StepPhase } from '../../../compute/base/stopwatch.js';
import { expertSizesOf, moeLayersOf, type ModelSpec } from '../../model/spec/spec.js';
import type { PlanPart } from '../../protocol/step_plan.js';
import type { ObservedStep } from '../observing/step_observer.js';
import type { CostSample } from './cost_curve.js';

/** Of one rank in one step, or in several added up. */
export interface RankWork {
  /** Rows of routed experts, and those of shared experts counted as so many. */
  readonly experts: CostSample;
  /** All that a rank does for its own tokens: tokens, and what attention reads for them counted as so many. */
  readonly own: CostSample;
}

/** Phases without waiting for peers. `replicas` may ask all of them, and `dispatch` and `combine` are mostly waiting. */
const OWN_PHASES: readonly StepPhase[] = ['attention', 'gate', 'sampling', 'other'];
/** Tokens in the KV cache whose reading takes about as long as computing one. */
const KV_TOKENS_PER_TOKEN = 64;

/** Rows of routed experts that one token costs its own rank in shared ones, over all layers. */
export function sharedRowsOf(spec: ModelSpec): number {
  const { intermediate } = expertSizesOf(spec);
  return (moeLayersOf(spec).length * spec.moe.sharedIntermediateSize) / intermediate;
}

/** By seat; null: it isn't taken. */
export function workOf({ plans, results, rankLoad_LR }: ObservedStep, sharedRows: number): (RankWork | null)[] {
  return results.map((result, rank) => {
    if (result === null) return null;
    const { parts } = plans[rank]!;
    const numTokens = parts.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
    const numRows = rankLoad_LR.reduce((sum, load_R) => sum + load_R[rank]!, 0);
    const ownMs = OWN_PHASES.reduce((sum, phase) => sum + result.phasesMs[phase], 0);
    return {
      experts: { work: numRows + sharedRows * numTokens, ms: result.phasesMs.experts },
      own: { work: numTokens + numKvReads(parts) / KV_TOKENS_PER_TOKEN, ms: ownMs },
    };
  });
}

/** Tokens that attention reads, for each token those before it. */
const numKvReads = (parts: readonly PlanPart[]): number =>
  parts.reduce((sum, { position, tokenIds }) => sum + tokenIds.length * (position + tokenIds.length / 2), 0);
