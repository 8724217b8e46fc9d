/** This server as an instance of a cluster: what it is and has in hand, what its requests are for, and their leases. */
import * as z from 'zod';
import { ROLES } from '../../config/cluster_schema.js';
import { ApiError } from '../base/api_error.js';
import type { ServerApp, ServerContext } from '../base/part.js';
import { leaseRoutes } from './lease_part.js';
import { loanRoutes } from './loan_part.js';
import type { ServedCluster } from './served_cluster.js';

/** A context with a cluster, or without: then it is null. */
export interface ClusterContext extends ServerContext {
  readonly cluster: ServedCluster | null;
}

const ROLE = `give one of ${ROLES.join(', ')}`;
const body = z.object({ role: z.enum(ROLES, { error: ROLE }) }, { error: 'give a JSON object' });

/** For who has the cluster key. */
const config = { access: 'cluster' } as const;

/** GET /cluster and /cluster/events, POST /role, and the routes of leases and loans; none where `cluster.enabled` is false. */
export function clusterPart(app: ServerApp, context: ClusterContext): void {
  const { cluster } = context;
  if (cluster === null) return;
  const { instance, leases, events } = cluster;
  app.get('/cluster', { config }, () => instance.record);
  app.get('/cluster/events', { config }, (_request, reply) => {
    const text = events.open();
    if (text === null) throw new ApiError('QUEUE_FULL', 'as many follow this instance as may; end one of them');
    return reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-cache' }).send(text);
  });
  app.post('/role', { config, schema: { body } }, ({ body: { role } }) => {
    instance.setRole(role);
    return instance.record;
  });
  leaseRoutes(app, context, leases);
  loanRoutes(app, context, cluster);
}
