/** Policies that know no prompts. */
import type { Candidate } from '../../base/instance_view.js';
import { routedTo, type RoutingPolicy } from '../../base/routed_request.js';
import { chanceOf, drawn, leastOf } from './least.js';

/** One after the other: where a request went the longest time ago. */
export const roundRobin: RoutingPolicy = (_request, candidates) =>
  routedTo(leastOf(candidates, ({ lastRouted }) => lastRouted));

/** The fewest requests per rank. */
export const leastLoad: RoutingPolicy = (_request, candidates) =>
  routedTo(leastOf(candidates, ({ numRequests, record }) => numRequests / record.numRanks));

/** By chance: a faster one more often, as in LMDeploy's proxy; of which nobody knows, as often as the mean. */
export const random =
  (seed: number): RoutingPolicy =>
  (request, candidates) =>
    routedTo(candidates[drawn(speedsOf(candidates), chanceOf(seed, request, 0))]!);

/** LMDeploy's: the requests that are there, this one with them, over those that it ends per second; of which nobody knows, as fast as the mean. */
export const minExpectedLatency: RoutingPolicy = (_request, candidates) => {
  const speeds = speedsOf(candidates);
  const costs = new Map(candidates.map((each, i) => [each, (each.numRequests + 1) / speeds[i]!]));
  return routedTo(leastOf(candidates, (each) => costs.get(each)!));
};

/** LMDeploy's: the mean latency of the last requests. One that had none yet is tried if it has nothing to do, and counts like the mean until its first one ended. */
export const minObservedLatency: RoutingPolicy = (_request, candidates) => {
  const mean = meanOf(candidates.map(({ rates }) => rates.latencyMs)) ?? 0;
  return routedTo(leastOf(candidates, ({ rates, numRequests }) => rates.latencyMs ?? (numRequests === 0 ? 0 : mean)));
};

/** Requests per second; 1 where nobody knows of any. */
function speedsOf(candidates: readonly Candidate[]): number[] {
  const mean = meanOf(candidates.map(({ rates }) => rates.requestsPerS)) ?? 1;
  return candidates.map(({ rates }) => rates.requestsPerS ?? mean);
}

/** Null: none is known. */
function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
}
