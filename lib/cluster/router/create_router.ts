/** The front door of many instances: OpenAI's endpoints, each request passed on to one of them. */
import { setMaxListeners } from 'node:events';
import type { AddressInfo } from 'node:net';
import { pino, type Logger } from 'pino';
import type { ExpertwireConfig } from '../../config/schema.js';
import { loadPlugins } from '../../plugins/load_plugins.js';
import { ApiError } from '../../server/base/api_error.js';
import type { ServerApp } from '../../server/base/part.js';
import { Batches } from '../../server/batches/batches.js';
import { batchesPart } from '../../server/batches/batches_part.js';
import { ApiKeys } from '../../server/http/api_keys.js';
import { answerErrors } from '../../server/http/error_answers.js';
import { guard } from '../../server/http/guard.js';
import { httpApp, listenSilently } from '../../server/http/http_app.js';
import { InnerRequests } from '../../server/http/inner_requests.js';
import { collectRoutes } from '../../server/http/known_routes.js';
import { urlOf } from '../../server/http/listening.js';
import { readCertificate } from '../../server/http/node_server.js';
import { collectOpenApi, openApiPart } from '../../server/open_api.js';
import { RunningRequests } from '../../server/http/running_requests.js';
import { loadTokenizer } from '../../tokenizer/tokenizer.js';
import { TokenizerThread } from '../../tokenizer/tokenizer_thread.js';
import type { InstanceView } from '../base/instance_view.js';
import type { Bus } from '../bus/bus.js';
import { routedBatches } from './routed_batches.js';
import { controlRoutes } from './control_routes.js';
import { Fleet } from './fleet.js';
import { healthRoutes } from './health_routes.js';
import { InstanceCalls } from './instance_calls.js';
import { Mover } from './mover.js';
import { passageRoutes } from './passage_routes.js';
import { PromptReader } from './passage/prompt_reader.js';
import type { RequestStory } from './passage/request_story.js';
import { Passages } from './passages.js';
import { Replicator } from './replicator.js';
import { RouterMetrics } from './router_metrics.js';
import { needsTokens, readableModel, routingTableOf } from './routing_of.js';
import { logStory } from './story_log.js';
import { Upstreams } from './upstream/upstreams.js';

/** What a router is made with. */
export interface RouterOptions {
  /** The section `router`; limits, TLS and names of `server`; the model, whose prompts are read here. */
  readonly config: ExpertwireConfig;
  /** Tells of the instances; stays its caller's to close. */
  readonly bus: Pick<Bus, 'watch'>;
  /** What instances know a router by. Default: null, they are on this machine. */
  readonly clusterKey?: string | null;
  /** By the ids of instances: what these servers are shown. Default: none; they are shown what clients send, unless the router has keys. */
  readonly instanceKeys?: ReadonlyMap<string, string>;
  /** Who calls must have one of them. Default: none, and everybody may call. */
  readonly apiKeys?: readonly string[];
  /** Default: nothing is logged. */
  readonly log?: Logger;
  /** Told of each request when it is over. Default: nobody. */
  readonly over?: (story: RequestStory) => void;
  /** Told of output tokens, as far as they are known, when their client is. Default: nobody. */
  readonly tokens?: (numTokens: number) => void;
}

/** A router. */
export interface Router {
  /** The web framework's application, to add routes to, or to ask without a network. */
  readonly app: ServerApp;
  /** Requests that are being answered, but for those that only look. */
  readonly numRunning: number;
  /** Instances as they are now, as far as the router knows. */
  readonly views: readonly InstanceView[];
  /** Listens where the options say. Returns the URL, with the port that it got. @throws ConfigError INVALID_VALUE where it can't */
  listen(): Promise<string>;
  /** Refuses new requests, lets those that run finish, then closes. Returns how many were broken off after `drain_timeout_ms`. Idempotent. */
  drain(): Promise<number>;
  /** Breaks off what runs and closes every connection. Idempotent. */
  close(): Promise<void>;
}

/** What clients whose requests are broken off have to hear of it. */
const GOODBYE_MS = 1000;
/** Of one answer, before its client reads on. */
const MAX_UNREAD_BYTES = 256 * 1024;

/** A router fails only with its instances. */
const SOUND = { failure: null };

/** Makes a router; it doesn't listen yet. @throws ConfigError for certificates and the folder of batches; PluginError for plug-ins */
export async function createRouter(options: RouterOptions): Promise<Router> {
  const { config, bus, clusterKey = null, instanceKeys = new Map(), apiKeys = [] } = options;
  const { log = pino({ level: 'silent' }), tokens = () => undefined } = options;
  const server = { ...config.server, host: config.router.host, port: config.router.port };
  const app = httpApp(server, await readCertificate(server), log);
  const inner = new InnerRequests(app);
  const { registry } = await loadPlugins(config.plugins);
  const clock = (): number => performance.now();
  const running = new RunningRequests();
  const draining = new AbortController();
  const ending = new AbortController();
  for (const { signal } of [draining, ending]) setMaxListeners(0, signal); // every request listens

  const table = routingTableOf(config.router, registry);
  const upstreams = upstreamsOf(config, clock, (id, isHealthy) => {
    table.setHealthy(id, isHealthy);
    log.warn({ instance: id }, isHealthy ? 'an instance answers again' : 'an instance does not answer as it should');
  });
  const longTexts = new TokenizerThread(config.model);
  const tokenizer = needsTokens(config.router) ? await loadTokenizer(config.model) : undefined;
  const prompts = new PromptReader(tokenizer === undefined ? null : readableModel(config, tokenizer, longTexts));
  const passages = new Passages();
  const calls = new InstanceCalls(clusterKey);
  const metrics = new RouterMetrics();
  const views = (): readonly InstanceView[] => table.views;
  const mover = new Mover({ config: config.router, views, passages, upstreams, calls, clock, log });
  const fleet = new Fleet({ bus, table, upstreams, log, draining: () => mover.move() });
  const replicator = new Replicator({
    config: config.router,
    table,
    upstreams,
    calls,
    clock,
    log,
    copied: metrics.copied,
  });
  const over = (story: RequestStory): void => {
    metrics.over(story);
    logStory(log, story);
    options.over?.(story);
  };

  const keys = new ApiKeys(apiKeys.length === 0 ? [] : [...apiKeys, inner.key]);
  const batches = await Batches.open(routedBatches({ config: server, draining: draining.signal, views, log }, inner));

  answerErrors(app, SOUND, collectRoutes(app));
  guard(app, { config: { server }, draining: draining.signal, engine: SOUND }, keys, running);
  await collectOpenApi(app);
  openApiPart(app);
  healthRoutes(app, { fleet, views, draining: draining.signal });
  controlRoutes(app, { views, passages, upstreams, calls, metrics, numRunning: () => running.count, batches });
  await batchesPart(app, { batches, callerOf: keys.callerOf });
  const dispatch = { table, upstreams, clusterKey, instanceKeys, hasKeys: apiKeys.length > 0, clock };
  await passageRoutes(app, {
    ...{ ...dispatch, config: { server, router: config.router }, fleet, passages, prompts, log, over },
    ...{ offer: calls.offer, ending: ending.signal, tokens },
  });

  const end = async (): Promise<void> => {
    draining.abort();
    ending.abort(new ApiError('DRAINING', 'the router ended before the answer was complete; ask another one'));
    await running.idle(GOODBYE_MS); // clients are told
    await batches.close();
    await app.close();
    fleet.close();
    mover.close();
    replicator.close();
    await upstreams.close();
    await longTexts.close();
  };
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= end());
  return {
    app,
    get numRunning() {
      return running.count;
    },
    get views() {
      return views();
    },
    listen: async () => {
      await listenSilently(app, { host: server.host, port: server.port });
      return urlOf(server, (app.server.address() as AddressInfo).port);
    },
    drain: async () => {
      draining.abort();
      const numLeft = await running.idle(server.drain_timeout_ms);
      await close();
      return numLeft;
    },
    close,
  };
}

function upstreamsOf(
  { router }: Pick<ExpertwireConfig, 'router'>,
  clock: () => number,
  healthChanged: (id: string, isHealthy: boolean) => void,
): Upstreams {
  const { connect_timeout_ms: connectTimeoutMs, idle_timeout_ms: idleTimeoutMs } = router;
  const { circuit_failures: maxFailures, circuit_open_ms: openMs } = router;
  const limits = { connectTimeoutMs, idleTimeoutMs, maxUnreadBytes: MAX_UNREAD_BYTES };
  const circuit = { maxFailures, openMs };
  return new Upstreams(
    { limits, circuit, probeTimeoutMs: router.health_timeout_ms, clock, healthChanged },
    router.health_interval_ms,
  );
}
