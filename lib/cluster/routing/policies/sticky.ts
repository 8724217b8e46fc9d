import type { RoutingPolicy } from '../../base/routed_request.js';

/** Sessions stay where they are, whatever a policy would choose; it chooses for the others, and where a session can't stay. */
export const sticky =
  (policy: RoutingPolicy): RoutingPolicy =>
  (request, candidates) => {
    const stays = candidates.filter(({ record }) => record.id === request.sessionInstance);
    return policy(request, stays.length > 0 ? stays : candidates);
  };
