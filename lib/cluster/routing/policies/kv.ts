/** The policy that knows what is cached where. Why: docs/decisions/cluster.md#kv-what-is-computed-against-what-is-there-to-do */
import type { Candidate } from '../../base/instance_view.js';
import { routedTo, type RoutedRequest, type RoutingPolicy } from '../../base/routed_request.js';
import { chanceOf, drawn, leastOf, numTokensToCompute } from './least.js';

/** How costs weigh. */
export interface KvOptions {
  /** Of what the request would compute, against what an instance has to do. Default 1; 0: what is cached doesn't count. */
  readonly overlapWeight?: number;
  /** 0, the default: the lowest cost wins; otherwise lower ones win more often, the less so the higher this is. */
  readonly temperature?: number;
  /** Of what is left to chance. Default 0. */
  readonly seed?: number;
}

/** What computing one of the request's tokens costs against waiting for one that is to be computed anyway: what comes later finds it in two places. */
const OWN_TOKENS = 6;
/** What copying a token's keys and values costs, behind a prompt that was computed elsewhere. */
const COPIED_TOKENS = 1 / 16;
/** What a token costs that comes out of a cache elsewhere: it is copied, and takes room in two. */
const FETCHED_TOKENS = 2;
/** A sequence that runs beside, in tokens to compute, as where a rank is chosen (rank_choice.ts). */
const SEQUENCE_TOKENS = 64;
/** Tokens in blocks that are held, whose reading takes about as long as computing one. */
const HELD_TOKENS = 64;

/** Dynamo's idea, with weights that were found for it: the request's tokens that aren't cached, and the work that an instance has already. */
export function kv({ overlapWeight = 1, temperature = 0, seed = 0 }: KvOptions = {}): RoutingPolicy {
  return (request, candidates) => {
    const costOf = (candidate: Candidate): number => kvCost(request, candidate, overlapWeight);
    if (temperature === 0 || candidates.length === 1) return routedTo(leastOf(candidates, costOf));
    const weights = softmax(candidates.map(costOf), temperature);
    return routedTo(candidates[drawn(weights, chanceOf(seed, request, 0))]!);
  };
}

/** In tokens to compute. What an instance has to do is spread over its ranks. */
export function kvCost(request: RoutedRequest, candidate: Candidate, overlapWeight: number): number {
  const { numPrefillTokens, numRequests, numActiveBlocks, numAddedBlocks, record } = candidate;
  const held = (numActiveBlocks + numAddedBlocks) * record.blockSize;
  const work = numPrefillTokens + SEQUENCE_TOKENS * numRequests + held / HELD_TOKENS;
  return overlapWeight * ownCost(request, candidate) + work / record.numRanks;
}

function ownCost(request: RoutedRequest, candidate: Candidate): number {
  const { numCachedTokens, numFetchableTokens } = candidate;
  if (request.leg === 'decode') return COPIED_TOKENS * Math.max(request.numPromptTokens - numCachedTokens, 1);
  return OWN_TOKENS * numTokensToCompute(request, candidate) + FETCHED_TOKENS * numFetchableTokens;
}

/** Weights of costs, of which the range between lowest and highest is 1 before they are divided by the temperature. */
function softmax(costs: readonly number[], temperature: number): number[] {
  const lowest = Math.min(...costs);
  const range = Math.max(...costs) - lowest;
  return costs.map((cost) => (range === 0 ? 1 : Math.exp(-(cost - lowest) / range / temperature)));
}
