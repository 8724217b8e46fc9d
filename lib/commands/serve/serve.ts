/** `expertwire serve`: an engine behind OpenAI's endpoints, until a signal ends it. */
import { once } from 'node:events';
import { shown } from '../../../base/foreign_text.js';
import type { Engine } from '../../head/engine.js';
import { openModel } from '../../head/opened_model.js';
import { checkServer, createServer, isLoopback, type HttpServer } from '../../server/create_server.js';
import { createLog, type LogOutput } from '../../server/telemetry/log.js';
import { closing } from '../base/closing.js';
import type { CommandContext } from '../base/context.js';
import type { SharedTerminal } from '../base/shared_terminal.js';
import { configOf, withEngine } from '../engine/engine_options.js';
import { API_KEY_VARIABLE, readApiKeys } from './api_key_source.js';
import type { ServeArgs } from './serve_options.js';

/**
 * Serves until a signal comes, then finishes what runs and refuses what is new. Why: docs/decisions/serving.md#a-clean-end-is-no-failure
 * @throws UsageError, ConfigError, EngineError; what opening a model throws
 */
export async function serve(args: ServeArgs, context: CommandContext): Promise<void> {
  const { host, port, servedModelName: served_model_name } = args;
  const config = await configOf(args, { server: { host, port, served_model_name } });
  const apiKeys = await readApiKeys(args.apiKeyFile, context.env);
  await checkServer(config.server);
  const model = await openModel(config);
  const work = async (engine: Engine, terminal: SharedTerminal): Promise<void> => {
    const log = createLog(logOutput(terminal, context), config.server.log_level);
    const server = await createServer(engine, { config, apiKeys, log, env: context.env });
    await closing(
      () => server.close(),
      async () => {
        const url = await server.listen();
        if (apiKeys.length === 0 && !isLoopback(config.server.host)) terminal.line(openWarning(config.server.host));
        terminal.text(greeting(url, server.modelName, apiKeys.length > 0, engine.tokenizer !== undefined));
        await untilEnd(engine, context.signal);
        await drain(server, engine, terminal, context);
      },
    );
  };
  await withEngine(args, config, model, context, work, { inputs: { '--api-key-file': args.apiKeyFile } });
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
  if (numRunning > 0) {
    terminal.line(`finishing ${numRunning} ${numRunning === 1 ? 'request' : 'requests'}; another signal ends at once`);
  }
  const numBroken = await server.drain();
  if (engine.failure !== null) {
    terminal.line(`warning: the engine failed before the server ended: ${engine.failure.message}`);
    throw engine.failure; // which nobody reports behind a signal
  }
  if (numBroken === 0) context.obeyed?.();
  else terminal.line(`warning: ${numBroken} still ran after server.drain_timeout_ms, and were broken off`);
}

/** On a terminal lines of the log begin on lines of their own. */
const logOutput = (terminal: SharedTerminal, { stderr }: CommandContext): LogOutput =>
  stderr.isTTY === true ? { isTTY: true, write: (line) => terminal.line(line.trimEnd()) } : stderr;

const openWarning = (host: string): string =>
  `warning: whoever reaches ${host} can use this server; set ${API_KEY_VARIABLE} or give --api-key-file`;

/** Where it is, and a line to try it with. */
function greeting(url: string, model: string, hasKeys: boolean, hasTokenizer: boolean): string {
  const body = JSON.stringify({ model, prompt: hasTokenizer ? 'Call me' : [1, 2, 3], max_tokens: 16 });
  const key = hasKeys ? ` -H "Authorization: Bearer $${API_KEY_VARIABLE}"` : '';
  return `serving ${shown(model)} at ${url}\ncurl ${url}/v1/completions${key} -H 'Content-Type: application/json' -d '${body.replaceAll("'", "'\\''")}'\n`;
}
