/** The policy that knows what is cached where. Why: docs/decisions/cluster.md#kv-computed-blocks-against-held-ones */
import type { Candidate } from '../../base/instance_view.js';
import { routedTo, type RoutedRequest, type RoutingPolicy } from '../../base/routed_request.js';
import { chanceOf, drawn, leastOf, numTokensToCompute } from './least.js';

/** How costs weigh. */
export interface KvOptions {
  /** Of a block that is to be computed, against one that is held. Default 1. */
  readonly overlapWeight?: number;
  /** 0, the default: the lowest cost wins; otherwise lower ones win more often, the less so the higher this is. */
  readonly temperature?: number;
  /** Of what is left to chance. Default 0. */
  readonly seed?: number;
}

/** What one's own tokens cost against those that wait already: they are in the way of whoever comes behind, too. */
const OWN_COST = 2;
/** What copying a token's keys and values costs against computing them: behind a prompt, those come from elsewhere. */
const COPY_COST = 1 / 16;

/** Dynamo's: the tokens that would be computed before the first one, times a weight, and those in blocks that would be held. */
export function kv({ overlapWeight = 1, temperature = 0, seed = 0 }: KvOptions = {}): RoutingPolicy {
  return (request, candidates) => {
    const costOf = (candidate: Candidate): number => kvCost(request, candidate, overlapWeight);
    if (temperature === 0 || candidates.length === 1) return routedTo(leastOf(candidates, costOf));
    const weights = softmax(candidates.map(costOf), temperature);
    return routedTo(candidates[drawn(weights, chanceOf(seed, request, 0))]!);
  };
}

/** In tokens: blocks differ between instances. What waits and what is held is spread over the ranks. */
export function kvCost(request: RoutedRequest, candidate: Candidate, overlapWeight: number): number {
  const { numPrefillTokens, numActiveBlocks, numAddedBlocks, record } = candidate;
  const own = numTokensToCompute(request, candidate) * (request.leg === 'decode' ? COPY_COST : OWN_COST);
  const prefill = own + (request.leg === 'decode' ? 0 : numPrefillTokens / record.numRanks);
  const held = ((numActiveBlocks + numAddedBlocks) * record.blockSize) / record.numRanks;
  return overlapWeight * prefill + (request.leg === 'prefill' ? 0 : held);
}

/** Weights of costs, of which the range between lowest and highest is 1 before they are divided by the temperature. */
function softmax(costs: readonly number[], temperature: number): number[] {
  const lowest = Math.min(...costs);
  const range = Math.max(...costs) - lowest;
  return costs.map((cost) => (range === 0 ? 1 : Math.exp(-(cost - lowest) / range / temperature)));
}
