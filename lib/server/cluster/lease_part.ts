/** Leases over HTTP: how another instance goes on with a request of this one. Why: docs/decisions/cluster.md#leases-over-http */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { EngineError } from '../../protocol/errors.js';
import { ApiError } from '../base/api_error.js';
import type { ServerApp, ServerContext } from '../base/part.js';
import { bearerOf } from '../http/api_keys.js';
import { clientSignal } from '../http/client_signal.js';
import type { Lease } from './lease.js';
import { leasePath, leaseState, offerBody, stateQuery } from './lease_messages.js';
import type { Leases } from './leases.js';

/** Its token is a lease's key. */
const OWN_KEY = { access: 'open', isForDraining: true } as const;

/** POST /v1/kv/leases; of /v1/kv/leases/ID: GET, and POST pause, commit and rollback. */
export function leaseRoutes(app: ServerApp, { config, ending }: ServerContext, leases: Leases): void {
  const find = ({ params, headers }: Pick<FastifyRequest<{ Params: { id: string } }>, 'params' | 'headers'>): Lease =>
    leases.find(params.id, bearerOf(headers.authorization));
  const signalOf = (reply: FastifyReply): AbortSignal => clientSignal(reply, ending);

  app.post(
    '/v1/kv/leases',
    { config: { access: 'cluster', isForDraining: true }, schema: { body: offerBody } },
    async ({ body }) => leases.paramsOf(await leases.addQueued(body.request_id)),
  );
  const schema = { params: leasePath, response: { 200: leaseState } };
  /** Of a question that waits: for its news, and for whoever asks to ask again in time. */
  const waitOf = (reply: FastifyReply, ms = Infinity): AbortSignal => {
    const most = Math.floor(config.cluster.lease_timeout_ms / WAITS_PER_TIMEOUT);
    return AbortSignal.any([signalOf(reply), AbortSignal.timeout(Math.min(ms, most))]);
  };
  app.get(
    '/v1/kv/leases/:id',
    { config: OWN_KEY, schema: { ...schema, querystring: stateQuery } },
    (request, reply) => {
      const { after = -1, tokens = Infinity, wait } = request.query;
      return find(request).news(after, tokens, waitOf(reply, wait));
    },
  );
  app.post('/v1/kv/leases/:id/pause', { config: OWN_KEY, schema }, async (request, reply) => {
    const lease = find(request);
    const signal = waitOf(reply);
    await lease.offer.pause(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    return lease.state(); // not final where that takes longer
  });
  const ends = { config: OWN_KEY, schema: { params: leasePath } };
  app.post('/v1/kv/leases/:id/commit', ends, (request) => commit(find(request)));
  app.post('/v1/kv/leases/:id/rollback', ends, (request) => {
    find(request).offer.rollback();
    return {};
  });
}

/** So many questions about a lease fit into the time in which one must come. */
const WAITS_PER_TIMEOUT = 3;

/** Who asks again, because it didn't hear the answer, hears the same. @throws ApiError GONE, CONFLICT */
function commit({ offer }: Lease): object {
  if (offer.end === 'committed') return {};
  try {
    offer.commit();
    return {};
  } catch (error) {
    if (!(error instanceof EngineError) || error.code !== 'INVALID_REQUEST') throw error;
    throw new ApiError('CONFLICT', 'the request goes on here still; pause it before, by POST /v1/kv/leases/ID/pause');
  }
}
