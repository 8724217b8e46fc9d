/** The policy that holds limits, or refuses early. Why: docs/decisions/cluster.md#slo-refused-before-anything-is-computed */
import type { Candidate } from '../../base/instance_view.js';
import { routedTo, type Choice, type RoutedRequest, type RoutingPolicy } from '../../base/routed_request.js';
import { leastOf, numTokensToCompute } from './least.js';

/** What requests may take; null: no limit. */
export interface Slo {
  /** To the first token, ms. */
  readonly ttftMs: number | null;
  /** Between two tokens, ms. */
  readonly tbtMs: number | null;
}

/** What a candidate is predicted to take; what nobody knows yet counts as nothing, so that it is tried. */
export interface Prediction {
  readonly ttftMs: number;
  readonly tbtMs: number;
}

/** Predictions that differ by no more say the same. */
const PRECISION = 1.25;
/** The soonest moment to ask again. */
const MIN_RETRY_MS = 100;

/**
 * Mooncake's: the first token comes once all tokens are computed that wait there, and the prompt's that aren't cached; the time between tokens is that of one
 * sequence more than run now. Of the candidates within the limits the one with the soonest first token, or, behind a prompt, with the least time between tokens; of
 * about equal ones that with the fewest requests.
 */
export function slo({ ttftMs, tbtMs }: Slo): RoutingPolicy {
  return (request, candidates) => {
    const limits = {
      ttftMs: (request.leg === 'decode' ? null : ttftMs) ?? Infinity,
      tbtMs: (request.leg === 'prefill' ? null : tbtMs) ?? Infinity,
    };
    const predictions = new Map(candidates.map((each) => [each, predict(request, each)]));
    const costOf = (each: Candidate): number => predictions.get(each)![request.leg === 'decode' ? 'tbtMs' : 'ttftMs'];
    const within = candidates.filter((each) => {
      const predicted = predictions.get(each)!;
      return predicted.ttftMs <= limits.ttftMs && predicted.tbtMs <= limits.tbtMs;
    });
    if (within.length > 0) return routedTo(leastLoadedOf(within, costOf));
    const idle = candidates.filter(isIdle);
    if (idle.length > 0) return routedTo(leastLoadedOf(idle, costOf));
    return rejected([...predictions.values()], limits);
  };
}

/** It has nothing in hand: nowhere, and never, does the request come sooner, whatever was measured once. */
const isIdle = ({ numRequests, numPrefillTokens }: Candidate): boolean => numRequests === 0 && numPrefillTokens === 0;

/** Of those that are as good as the best, as far as predictions can tell: otherwise the one that was measured fastest would get all. */
function leastLoadedOf(candidates: readonly Candidate[], costOf: (candidate: Candidate) => number): Candidate {
  const best = Math.min(...candidates.map(costOf));
  const alike = candidates.filter((each) => costOf(each) <= PRECISION * best);
  return leastOf(alike, ({ numRequests, record }) => numRequests / record.numRanks);
}

/** Of a request on one instance. */
export function predict(request: RoutedRequest, candidate: Candidate): Prediction {
  const { numPrefillTokens, rates } = candidate;
  const numTokens = numPrefillTokens + numTokensToCompute(request, candidate);
  const ttftMs = rates.prefillTokensPerS === null ? 0 : (1000 * numTokens) / rates.prefillTokensPerS;
  return { ttftMs, tbtMs: rates.tbtMs ?? 0 };
}

/** By the limit that is broken everywhere, or the first one. */
function rejected(predictions: readonly Prediction[], limits: Prediction): Choice {
  const least = (key: keyof Prediction): number => Math.min(...predictions.map((each) => each[key]));
  const key = least('ttftMs') <= limits.ttftMs && least('tbtMs') > limits.tbtMs ? 'tbtMs' : 'ttftMs';
  const best = least(key);
  const what = key === 'ttftMs' ? 'its first token would come after' : 'its tokens would be apart by';
  const over = Math.max(best - limits[key], 0);
  return {
    kind: 'rejected',
    reason: `${what} ${Math.round(best)} ms, and the limit is ${Math.round(limits[key])} ms`,
    retryAfterMs: Math.max(Math.ceil(over), MIN_RETRY_MS),
  };
}
