/** The policy that knows how long outputs will be. Why: docs/decisions/cluster.md#lengths-are-predicted-from-what-came-before */
import type { Candidate } from '../../base/instance_view.js';
import { routedTo, type LengthBucket, type RoutedRequest, type RoutingPolicy } from '../../base/routed_request.js';
import { chanceOf, leastOf } from './least.js';

/** Output tokens over which a request is heavy for others beside it, as in TetriInfer. */
const HEAVY_TOKENS = 128;

/** A long output is predicted. */
export const isHeavy = ({ from, to }: LengthBucket): boolean => (from + to) / 2 > HEAVY_TOKENS;

/**
 * TetriInfer's: of the instances with room for the prompt and as many tokens as are predicted at most, two by chance; of these the one with fewer heavy requests
 * to a light one, this one with them.
 */
export function length(seed = 0): RoutingPolicy {
  return (request, candidates) => {
    const roomy = candidates.filter((each) => hasRoom(request, each));
    const able = roomy.length > 0 ? roomy : candidates;
    const pair = twoOf(able, request, seed);
    return routedTo(leastOf(pair, (each) => loadOf(request, each)));
  };
}

function hasRoom(
  { numPromptTokens, predicted, maxNewTokens }: RoutedRequest,
  { record, numActiveBlocks }: Candidate,
): boolean {
  if (record.numKvBlocks === 0) return true; // nobody knows
  const numTokens = numPromptTokens + Math.min(predicted.to, maxNewTokens);
  return Math.ceil(numTokens / record.blockSize) <= record.numKvBlocks - numActiveBlocks;
}

/** Power of two choices: the fuller one of two is never taken, and no herd follows one number that everybody sees. */
function twoOf(candidates: readonly Candidate[], request: RoutedRequest, seed: number): readonly Candidate[] {
  if (candidates.length <= 2) return candidates;
  const first = Math.floor(chanceOf(seed, request, 0) * candidates.length);
  const second = Math.floor(chanceOf(seed, request, 1) * (candidates.length - 1));
  return [candidates[first]!, candidates[second < first ? second : second + 1]!];
}

/** Heavy ones to a light one, per rank; then the requests. */
function loadOf({ predicted }: RoutedRequest, { numHeavy, numLight, numRequests, record }: Candidate): number {
  const heavy = numHeavy + Number(isHeavy(predicted));
  const light = numLight + Number(!isHeavy(predicted));
  return (heavy / Math.max(light, 1) + 1e-6 * numRequests) / record.numRanks;
}
