/** The server: an engine behind HTTP, as OpenAI's clients know it. */
import { setMaxListeners } from 'node:events';
import type { AddressInfo } from 'node:net';
import { pino, type Logger } from 'pino';
import { modelNameOf } from '../hub/cache/model_name.js';
import type { ModelSpec } from '../model/spec/spec.js';
import { TokenizerThread } from '../tokenizer/tokenizer_thread.js';
import type { ServerOptions } from './base/options.js';
import type { ServerApp, ServerContext } from './base/part.js';
import type { ServedEngine } from './base/served_engine.js';
import { Batches } from './batches/batches.js';
import { servedBatches } from './batches/served_batches.js';
import { checkCluster, servedCluster } from './cluster/served_cluster.js';
import { checkRecordingFolder } from './experts/recording_folder.js';
import { ApiKeys } from './http/api_keys.js';
import { answerErrors } from './http/error_answers.js';
import { withExactNumbers } from './http/exact_numbers.js';
import { guard } from './http/guard.js';
import { httpApp, listenSilently } from './http/http_app.js';
import { InnerRequests } from './http/inner_requests.js';
import { checkAddress, urlOf } from './http/listening.js';
import { collectRoutes } from './http/known_routes.js';
import { readCertificate, type Certificate } from './http/node_server.js';
import { RunningRequests } from './http/running_requests.js';
import { endOf } from './http/server_end.js';
import { checkKeptRuns, openKeptRuns, unkeptRuns } from './journal/request_runs.js';
import { collectOpenApi } from './open_api.js';
import { PARTS } from './parts.js';

export { isLoopback } from './http/host_names.js';

/** A server over an engine, which stays its caller's to close. */
export interface HttpServer {
  /** The web framework's application, to add routes to, or to ask without a network. */
  readonly app: ServerApp;
  /** The name of the model in requests. */
  readonly modelName: string;
  /** Requests of earlier heads that go on (`server.journal`): nobody waits for them, and they can be fetched by their ids. */
  readonly numResumed: number;
  /** Requests that are being answered, but for those that only look. */
  readonly numRunning: number;
  /**
   * Listens where the configuration says, and is then there for all who meet at `cluster.bus`. Returns the URL, with the port that it got.
   * @throws ConfigError INVALID_VALUE where it can't; ClusterError BUS_FAILED
   */
  listen(): Promise<string>;
  /**
   * Refuses new requests, lets those that run finish, then closes. Returns how many were broken off because they ran longer than
   * `server.drain_timeout_ms`. Idempotent.
   */
  drain(): Promise<number>;
  /** Breaks off what runs and closes every connection. Idempotent. */
  close(): Promise<void>;
}

/**
 * What can be told before an engine of this model is started, which may take minutes: certificates, folders of recordings and batches, the journal, and whether the place is free.
 * @throws ConfigError
 */
export async function checkServer(config: ServerContext['config'], spec: ModelSpec): Promise<void> {
  checkCluster(config);
  await readCertificate(config.server);
  await checkRecordingFolder(config.server);
  await checkKeptRuns(config, spec);
  await Batches.check(config.server);
  await checkAddress(config.server);
}

/** What clients whose requests are broken off have to hear of it. */
const GOODBYE_MS = 1000;

/** Makes a server; it doesn't listen yet, and goes on with what stands in its journal. @throws ConfigError for certificates, folders and the journal */
export async function createServer(engine: ServedEngine, options: ServerOptions): Promise<HttpServer> {
  const { config, apiKeys = [], clusterKeys = [], log = pino({ level: 'silent' }), env = {} } = options;
  const { journal: file } = config.server;
  const app = createApp(config.server, await readCertificate(config.server), log);
  const inner = new InnerRequests(app);
  const longTexts = new TokenizerThread(config.model);
  const running = new RunningRequests();
  const draining = new AbortController();
  const ending = new AbortController();
  for (const { signal } of [draining, ending]) setMaxListeners(0, signal); // every request listens
  const common: ServerContext = {
    engine,
    config,
    longTexts,
    log,
    env,
    modelName: config.server.served_model_name ?? modelNameOf(config.model),
    createdS: Math.floor(Date.now() / 1000),
    draining: draining.signal,
    ending: ending.signal,
  };
  const keys = new ApiKeys(apiKeys.length === 0 ? [] : [...apiKeys, inner.key], clusterKeys);
  const cluster = servedCluster(common, keys, clusterKeys);
  const kept = file === null ? null : await openKeptRuns(file, common);
  const runs = kept ?? unkeptRuns(engine);
  let batches: Batches | null = null;
  try {
    batches = await Batches.open(servedBatches(common, inner));
    const context = { ...common, cluster, callerOf: keys.callerOf, runs, batches };
    answerErrors(app, engine, collectRoutes(app));
    guard(app, context, keys, running);
    await collectOpenApi(app);
    for (const part of PARTS) await part(app, context);
  } catch (error) {
    await batches?.close(); // another server may have its folder
    await kept?.close(); // and its journal
    throw error;
  }
  const end = async (): Promise<void> => {
    draining.abort();
    ending.abort(endOf(engine, 'the server ended before the answer was complete; ask another one'));
    await running.idle(GOODBYE_MS); // clients are told
    await cluster?.close();
    await batches.close();
    await app.close();
    await longTexts.close();
    await kept?.close();
  };
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= end());
  return {
    app,
    modelName: common.modelName,
    numResumed: kept?.resume() ?? 0,
    get numRunning() {
      return running.count;
    },
    listen: async () => {
      const { host, port } = config.server;
      await listenSilently(app, { host, port });
      const url = urlOf(config.server, (app.server.address() as AddressInfo).port);
      cluster?.instance.listensAt(url);
      await cluster?.enter();
      return url;
    },
    drain: async () => {
      draining.abort();
      cluster?.instance.drain();
      const endMs = performance.now() + config.server.drain_timeout_ms;
      const numLeft = await running.idle(config.server.drain_timeout_ms);
      await cluster?.leases.idle(endMs - performance.now());
      await close();
      return numLeft;
    },
    close,
  };
}

function createApp(config: ServerContext['config']['server'], certificate: Certificate | null, log: Logger): ServerApp {
  const app = httpApp(config, certificate, log);
  // A client library may announce JSON and send nothing, where nothing is to be sent.
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body: string, done) => {
    if (body === '') done(null, undefined);
    else
      void parse(request, body, (error, parsed) =>
        done(error, error === null ? withExactNumbers(parsed, body) : undefined),
      );
  });
  return app;
}
