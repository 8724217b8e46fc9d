/** What who runs a cluster sees and wants: GET /instances and /metrics, POST /migrate and /role. */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { ROLES } from '../../config/cluster_schema.js';
import { ApiError, type ApiErrorCode } from '../../server/base/api_error.js';
import type { BatchCounts } from '../../server/base/batch_counts.js';
import type { ServerApp } from '../../server/base/part.js';
import { ClusterError } from '../base/errors.js';
import type { InstanceView } from '../base/instance_view.js';
import type { InstanceCalls } from './instance_calls.js';
import type { Passages } from './passages.js';
import type { RouterMetrics } from './router_metrics.js';
import type { Upstreams } from './upstream/upstreams.js';

/** What they take. */
export interface ControlRoutesParts {
  readonly views: () => readonly InstanceView[];
  readonly passages: Passages;
  readonly upstreams: Upstreams;
  readonly calls: InstanceCalls;
  readonly metrics: RouterMetrics;
  readonly numRunning: () => number;
  readonly batches: { readonly counts: BatchCounts };
}

const name = z
  .string({ error: 'give a name' })
  .min(1, { error: 'give a name' })
  .max(256, { error: 'give a shorter one' });
const ROLE_ERROR = `give one of ${ROLES.join(', ')}`;
const migrateBody = z.object({ request_id: name, to: name }, { error: 'give a JSON object' });
const roleBody = z.object(
  { instance: name, role: z.enum(ROLES, { error: ROLE_ERROR }) },
  { error: 'give a JSON object' },
);

/** For who has a key, and without keys for clients of this machine. */
const config = { access: 'local' } as const;

/** Adds them. */
export function controlRoutes(app: ServerApp, parts: ControlRoutesParts): void {
  const { views, passages, upstreams, calls, metrics, numRunning, batches } = parts;
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text(views(), numRunning(), batches.counts)),
  );
  app.get('/instances', { config }, () => ({ instances: views().map(instanceJson) }));
  app.post('/migrate', { config, schema: { body: migrateBody } }, async ({ body: { request_id: id, to } }) => {
    checkInstance(views(), to, 'to');
    const from = passages.instanceOf(id) ?? null;
    await passages.move(id, to, 'asked').catch(asApiError);
    return { request_id: id, from, to };
  });
  app.post('/role', { config, schema: { body: roleBody } }, async ({ body: { instance, role } }) => {
    const { record } = checkInstance(views(), instance, 'instance');
    if (record.kind === 'foreign') {
      throw new ApiError('UNSUPPORTED', `${instance} is a server of others, which has no role`, { param: 'instance' });
    }
    await calls.setRole(upstreams.get(instance)!, role).catch(asApiError);
    return { instance, role };
  });
}

function checkInstance(views: readonly InstanceView[], id: string, param: string): InstanceView {
  const found = views.find(({ record }) => record.id === id);
  if (found !== undefined) return found;
  const ids = views.map(({ record }) => record.id);
  const text = `there is no instance ${shown(id)}; there ${ids.length === 0 ? 'is none at all' : `are ${ids.join(', ')}`}`;
  throw new ApiError('NOT_FOUND', text, { param });
}

function asApiError(error: unknown): never {
  if (!(error instanceof ClusterError)) throw error;
  const code: ApiErrorCode = error.code === 'NO_REQUEST' ? 'NOT_FOUND' : 'CONFLICT';
  throw new ApiError(code, error.text, { cause: error });
}

function instanceJson({ record, isHealthy, load, numRequests, ...view }: InstanceView): object {
  return {
    id: record.id,
    url: record.url,
    kind: record.kind,
    role: record.role,
    model: record.model,
    ranks: record.numRanks,
    is_healthy: isHealthy,
    is_draining: record.isDraining,
    requests: numRequests,
    prefill_tokens: view.numPrefillTokens,
    active_blocks: view.numActiveBlocks,
    kv_blocks: record.numKvBlocks,
    waiting: load?.numWaiting ?? null,
    running: load?.numRunning ?? null,
    cached_blocks: load?.numCachedBlocks ?? null,
    movable: load?.requests.filter(({ isMovable }) => isMovable).map(({ id }) => id) ?? [],
  };
}
