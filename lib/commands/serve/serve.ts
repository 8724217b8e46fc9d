/** `expertwire serve`: an engine behind OpenAI's endpoints, until a signal ends it. */
import { once } from 'node:events';
import type { Engine } from '../../head/engine.js';
import { openModel } from '../../head/opened_model.js';
import { checkServer, createServer, isLoopback, type HttpServer } from '../../server/create_server.js';
import { closing } from '../base/closing.js';
import { UsageError, type CommandContext } from '../base/context.js';
import type { SharedTerminal } from '../base/shared_terminal.js';
import type { EngineStart } from '../engine/engine_start.js';
import { withEngine, type HeadPlace } from '../engine/with_engine.js';
import { readApiKeys, readClusterKeys } from './api_key_source.js';
import { cutOff, finishing } from './farewell.js';
import { goingOn, greeting, openWarning } from './greeting.js';
import { JobFile } from './job_file.js';
import { ServeLog } from './serve_log.js';
import type { ServeArgs } from './serve_options.js';

/**
 * Serves until a signal comes, then finishes what runs and refuses what is new. Why: docs/decisions/serving.md#a-clean-end-is-no-failure
 * @throws UsageError, ConfigError, EngineError; what opening a model throws
 */
export async function serve(args: ServeArgs, start: EngineStart, context: CommandContext): Promise<void> {
  const { config } = start;
  const jobFile = await JobFile.of(config);
  const before = args.resume === true ? await headBefore(jobFile) : null;
  const apiKeys = await readApiKeys(args.apiKeyFile, context.env);
  const clusterKeys = config.cluster.enabled ? await readClusterKeys(args.clusterKeyFile, context.env) : [];
  const model = await openModel(config);
  await checkServer(config, model.spec);
  const serveLog = new ServeLog(context.stderr, config.server.log_level);
  let mayWait = before !== null; // ranks, for another head than this one
  const work = async (engine: Engine, terminal: SharedTerminal): Promise<void> => {
    mayWait = false;
    const log = serveLog.loggerOn(terminal);
    const server = await createServer(engine, { config, apiKeys, clusterKeys, log, env: context.env });
    await closing(
      () => server.close(),
      async () => {
        const url = await server.listen();
        if (apiKeys.length === 0 && !isLoopback(config.server.host)) terminal.line(openWarning(config.server.host));
        const { modelName: model } = server;
        const keys = { numKeys: apiKeys.length, apiKeyFile: args.apiKeyFile };
        const certFile = config.server.tls.cert;
        const hasTokenizer = engine.tokenizer !== undefined;
        terminal.text(greeting({ url, model, hasTokenizer, certFile, ...keys }));
        context.tellParent?.({ kind: 'listening', url, model, hasTokenizer });
        if (server.numResumed > 0) terminal.line(goingOn(server.numResumed, config.server.journal!));
        await untilEnd(engine, context.signal);
        engine.endGrace(); // a second Ctrl-C leaves no ranks behind, and no secret of theirs
        await jobFile?.remove().catch(() => undefined); // which is told below
        await drain(server, engine, terminal, context);
      },
    );
  };
  const { stderr } = serveLog;
  const inputs = { '--api-key-file': args.apiKeyFile };
  const heads = { before, remember: async (place: HeadPlace) => jobFile?.write(place) };
  await closing(
    async () => (mayWait ? undefined : jobFile?.remove()), // who ends by itself leaves no ranks behind
    () => withEngine(args, start, model, { ...context, stderr }, work, { inputs, hasLog: true, heads }),
  );
}

/** @throws UsageError */
function headBefore(jobFile: JobFile | null): Promise<HeadPlace> {
  if (jobFile !== null) return jobFile.read();
  throw new UsageError('--resume finds no job: this user has no folder for one (HOME); start without it');
}

/** Waits for a signal. @throws what ended the engine */
async function untilEnd(engine: Engine, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const listening = new AbortController();
  const failed = engine.closed.then((error) => {
    throw error;
  });
  try {
    await Promise.race([failed, once(signal, 'abort', { signal: listening.signal })]);
  } finally {
    listening.abort();
  }
}

/** Lets what runs finish. @throws what ended the engine meanwhile */
async function drain(
  server: HttpServer,
  engine: Engine,
  terminal: SharedTerminal,
  context: CommandContext,
): Promise<void> {
  const { numRunning } = server;
  if (numRunning > 0) terminal.line(finishing(numRunning));
  const numBroken = await server.drain();
  if (engine.failure !== null) {
    terminal.line(`warning: the engine failed before the server ended: ${engine.failure.message}`);
    throw engine.failure; // which nobody reports behind a signal
  }
  if (numBroken === 0) context.obeyed?.();
  else terminal.line(cutOff(numBroken));
}
