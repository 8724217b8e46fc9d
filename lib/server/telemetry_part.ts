/** GET /metrics, a line of the log and a trace per request. Comes before all other parts, whose requests it follows. */
import type { FastifyRequest } from 'fastify';
import type { BatchCounts } from './base/batch_counts.js';
import type { ServerApp, ServerContext } from './base/part.js';
import type { Arrival } from './telemetry/exchange.js';
import type { OpenExchange } from './telemetry/exchanges.js';
import { Telemetry, type Follower } from './telemetry/telemetry.js';
import { tracingSettings } from './tracing/settings.js';

/** Of a path that the server doesn't have: its client made it up. */
const NO_ROUTE = 'none';

/** What telemetry shows besides the engine. */
export interface TelemetryContext extends ServerContext {
  readonly batches: { readonly counts: BatchCounts };
}

/** Follows the engine and the requests of all parts that come later. */
export const telemetryPart = async (app: ServerApp, context: TelemetryContext): Promise<void> => {
  const { engine, config, log, modelName, batches } = context;
  const follower = await openFollower(context);
  const isFull = config.server.metrics === 'full';
  const telemetry = new Telemetry(engine, { modelName, isFull, batches: () => batches.counts, log, follower });
  app.addHook('onClose', () => telemetry.close());
  followRequests(app, telemetry);
  app.get('/metrics', async (_request, reply) => {
    return reply.type(telemetry.metrics.contentType).send(await telemetry.metrics.text());
  });
};

function followRequests(app: ServerApp, telemetry: Telemetry): void {
  const followed = new WeakMap<FastifyRequest, OpenExchange>();
  app.addHook('onRequest', (request, reply, done) => {
    const exchange = telemetry.arrived(arrivalOf(request));
    followed.set(request, exchange);
    // Comes whatever becomes of the answer, and of whoever writes it.
    const { raw } = reply;
    let isWhole = false;
    raw.once('finish', () => (isWhole = true));
    raw.once('close', () => exchange.answered({ status: raw.statusCode, isCutOff: !isWhole }));
    done();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    const { request_id: id } = (request.body ?? {}) as { readonly request_id?: unknown };
    if (typeof id === 'string') followed.get(request)?.named(id);
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    // Refused before the hook above: a wrong key, a wrong host.
    if (!followed.has(request))
      telemetry.arrived(arrivalOf(request)).answered({ status: reply.statusCode, isCutOff: false });
    done();
  });
}

function arrivalOf({ id, method, headers, routeOptions, is404 }: FastifyRequest): Arrival {
  const one = (header: string | string[] | undefined): string | undefined => [header].flat()[0];
  const route = is404 ? NO_ROUTE : (routeOptions.url ?? NO_ROUTE);
  return { id, method, route, traceparent: one(headers.traceparent), tracestate: one(headers.tracestate) };
}

async function openFollower({ env, modelName, log }: ServerContext): Promise<Follower | null> {
  const settings = tracingSettings(env);
  if (settings === null) return null;
  const { openSpans } = await import('./tracing/open_spans.js');
  return openSpans({ ...settings, modelName, log });
}
