import type { RoutingPolicy } from '../../base/routed_request.js';

/** One policy for whole requests and prompts, another one for what comes behind a prompt. */
export const byLeg =
  (policy: RoutingPolicy, decode: RoutingPolicy): RoutingPolicy =>
  (request, candidates) =>
    (request.leg === 'decode' ? decode : policy)(request, candidates);
