/** This server as an instance of a cluster: what it is, what its requests are for, and their leases. */
import * as z from 'zod';
import { ROLES } from '../../config/cluster_schema.js';
import type { ServerApp } from '../base/part.js';
import type { ClusterContext } from './cluster_context.js';
import { leaseRoutes } from './lease_part.js';

const ROLE = `give one of ${ROLES.join(', ')}`;
const body = z.object({ role: z.enum(ROLES, { error: ROLE }) }, { error: 'give a JSON object' });

/** For who has the cluster key. */
const config = { access: 'cluster' } as const;

/** GET /cluster, POST /role, and the routes of leases; none where `cluster.enabled` is false. */
export function clusterPart(app: ServerApp, context: ClusterContext): void {
  const { cluster } = context;
  if (cluster === null) return;
  const { instance, leases } = cluster;
  app.get('/cluster', { config }, () => instance.record);
  app.post('/role', { config, schema: { body } }, ({ body: { role } }) => {
    instance.setRole(role);
    return instance.record;
  });
  leaseRoutes(app, context, leases);
}
