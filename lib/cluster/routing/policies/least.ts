/** What policies have in common. */
import { uniform } from '../../../../base/philox.js';
import type { Candidate } from '../../base/instance_view.js';
import type { RoutedRequest } from '../../base/routed_request.js';

/** The candidate that costs least; of equal ones that which got a request the longest time ago. */
export function leastOf<T extends Candidate>(candidates: readonly T[], costOf: (candidate: T) => number): T {
  return candidates.reduce((best, each) => {
    const difference = costOf(each) - costOf(best);
    return difference < 0 || (difference === 0 && each.lastRouted < best.lastRouted) ? each : best;
  });
}

/** Index of a weight, by chance: a number in [0, 1) decides. Weights are over 0. */
export function drawn(weights: readonly number[], chance: number): number {
  let left = chance * weights.reduce((a, b) => a + b, 0);
  const index = weights.findIndex((weight) => (left -= weight) < 0);
  return index < 0 ? weights.length - 1 : index;
}

/** In [0, 1), another one for each request and `draw`. */
export const chanceOf = (seed: number, { number }: RoutedRequest, draw: number): number => uniform(seed, draw, number);

/** Tokens that a candidate would have to compute before the request's first token, without those of others; the last one always is. */
export const numTokensToCompute = (
  { numPromptTokens }: RoutedRequest,
  { numCachedTokens, numFetchableTokens }: Candidate,
): number => Math.max(numPromptTokens - numCachedTokens - numFetchableTokens, 1);
