/** What every request passes before anything looks at it: its size, where it comes from, whether the server ends, its key. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PROOF_HEADER } from '../../cluster/base/key_proof.js';
import { ApiError } from '../base/api_error.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { ServerApp } from '../base/part.js';
import type { ServedEngine } from '../base/served_engine.js';
import type { ApiKeys } from './api_keys.js';
import { HostCheck } from './host_check.js';
import type { RunningRequests } from './running_requests.js';
import { endOf } from './server_end.js';

/** Methods that change nothing and can be let go at any time. */
const WATCHING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Whose requests are checked. */
export interface Guarded {
  readonly config: Pick<ExpertwireConfig, 'server'>;
  /** Aborted when new requests but GET are refused. */
  readonly draining: AbortSignal;
  readonly engine: Pick<ServedEngine, 'failure'>;
}

/** Adds the checks to all routes that come later, and a request id to each answer. */
export function guard(
  app: ServerApp,
  { config, draining, engine }: Guarded,
  keys: ApiKeys,
  running: RunningRequests,
): void {
  const { max_url_bytes: maxUrlBytes } = config.server;
  const hosts = new HostCheck(config.server);
  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done: () => void) => {
    void reply.header('x-request-id', request.id);
    if (draining.aborted) void reply.header('connection', 'close');
    if (request.url.length > maxUrlBytes) {
      throw new ApiError('URL_TOO_LONG', `the URL has ${request.url.length} bytes, more than ${maxUrlBytes}; use POST`);
    }
    if (hosts.check(request, reply)) return;
    if (!WATCHING.has(request.method)) {
      if (draining.aborted && request.routeOptions.config.isForDraining !== true) throw endOf(engine);
      running.add(reply);
    }
    const access = request.is404 ? 'open' : (request.routeOptions.config.access ?? 'key');
    const proof = access === 'cluster' ? keys.proof(request) : undefined;
    if (proof !== undefined) void reply.header(PROOF_HEADER, proof);
    keys.check(request, access);
    done();
  });
  app.addHook('onSend', (_request: FastifyRequest, reply: FastifyReply, _payload: unknown, done: () => void) => {
    reply.raw.setTimeout(config.server.slow_reader_timeout_ms, () => reply.raw.destroy()); // its client doesn't read
    done();
  });
}
