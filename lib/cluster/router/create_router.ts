/** The front door of many instances: OpenAI's endpoints, each request passed on to one of them. */
import { setMaxListeners } from 'node:events';
import type { AddressInfo } from 'node:net';
import { pino, type Logger } from 'pino';
import { VERSION } from '../../config/package_files.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { ApiError } from '../../server/base/api_error.js';
import type { ServerApp } from '../../server/base/part.js';
import { ApiKeys } from '../../server/http/api_keys.js';
import { answerErrors } from '../../server/http/error_answers.js';
import { guard } from '../../server/http/guard.js';
import { httpApp, listenSilently } from '../../server/http/http_app.js';
import { collectRoutes } from '../../server/http/known_routes.js';
import { urlOf } from '../../server/http/listening.js';
import { readCertificate } from '../../server/http/node_server.js';
import { RunningRequests } from '../../server/http/running_requests.js';
import { passOn, type PassageParts } from './passage/passage.js';
import { Instances } from './upstream/instances.js';
import { Upstream } from './upstream/upstream.js';

/** What a router is made with. */
export interface RouterOptions {
  /** Where it listens, and its limits. */
  readonly http: ExpertwireConfig['server'];
  /** URLs of instances. */
  readonly instances: readonly string[];
  /** Default 2. */
  readonly retries?: number;
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  /** Who calls must have one of them. Default: none, and everybody may call. */
  readonly apiKeys?: readonly string[];
  /** Default: nothing is logged. */
  readonly log?: Logger;
}

/** A router. */
export interface Router {
  /** The web framework's application, to ask without a network. */
  readonly app: ServerApp;
  /** Requests that are being answered, but for those that only look. */
  readonly numRunning: number;
  /** Listens where the options say. Returns the URL, with the port that it got. @throws ConfigError INVALID_VALUE where it can't */
  listen(): Promise<string>;
  /** Refuses new requests, lets those that run finish, then closes. Returns how many were broken off after `drain_timeout_ms`. Idempotent. */
  drain(): Promise<number>;
  /** Breaks off what runs and closes every connection. Idempotent. */
  close(): Promise<void>;
}

/** What clients whose requests are broken off have to hear of it. */
const GOODBYE_MS = 1000;

/** Of an answer, before its client reads on. */
const MAX_UNREAD_BYTES = 256 * 1024;

/** A router fails only with its instances. */
const SOUND = { failure: null };

/** Makes a router; it doesn't listen yet. @throws ConfigError for certificates */
export async function createRouter(options: RouterOptions): Promise<Router> {
  const { http, apiKeys = [], log = pino({ level: 'silent' }), retries = 2 } = options;
  const { connectTimeoutMs = 2000, idleTimeoutMs = 600_000 } = options;
  const app = httpApp(http, await readCertificate(http), log);
  const running = new RunningRequests();
  const draining = new AbortController();
  const ending = new AbortController();
  for (const { signal } of [draining, ending]) setMaxListeners(0, signal); // every request listens
  const clientLimits = { connectTimeoutMs, idleTimeoutMs, maxUnreadBytes: MAX_UNREAD_BYTES, ca: null };
  const instances = new Instances(options.instances.map((url) => new Upstream(url, url, clientLimits)));
  answerErrors(app, SOUND, collectRoutes(app));
  guard(app, { config: { server: http }, draining: draining.signal, engine: SOUND }, new ApiKeys(apiKeys), running);
  addHealth(app, draining.signal);
  await addPassages(app, { instances, limits: http, retries, ending: ending.signal });
  const end = async (): Promise<void> => {
    draining.abort();
    ending.abort(new ApiError('DRAINING', 'the router ended before the answer was complete; ask another one'));
    await running.idle(GOODBYE_MS); // clients are told
    await app.close();
    await instances.close();
  };
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= end());
  return {
    app,
    get numRunning() {
      return running.count;
    },
    listen: async () => {
      await listenSilently(app, { host: http.host, port: http.port });
      return urlOf(http, (app.server.address() as AddressInfo).port);
    },
    drain: async () => {
      draining.abort();
      const numLeft = await running.idle(http.drain_timeout_ms);
      await close();
      return numLeft;
    },
    close,
  };
}

/** GET /health, GET and POST /ping: 200, or 503 once the router drains. GET /version. */
function addHealth(app: ServerApp, draining: AbortSignal): void {
  const check = (): object => {
    if (draining.aborted) throw new ApiError('DRAINING', 'the router ends; ask another one');
    return {};
  };
  const config = { access: 'open' } as const;
  app.get('/health', { config }, check);
  app.get('/ping', { config }, check);
  app.post('/ping', { config }, check);
  app.get('/version', { config }, () => ({ version: VERSION }));
}

/** Everything that instances answer: bodies aren't read here, whatever they are. */
async function addPassages(app: ServerApp, parts: PassageParts): Promise<void> {
  await app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body));
    for (const url of ['/v1/*', '/tokenize', '/detokenize', '/tokenizer_info']) {
      scope.route({ method: ['GET', 'POST'], url, handler: (request, reply) => passOn(request, reply, parts) });
    }
    done();
  });
}
