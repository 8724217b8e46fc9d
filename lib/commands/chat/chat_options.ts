/** The command line of `chat`, which needs nothing of what it starts. */
import type { Argv } from 'yargs';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { readSamplingDefaults } from '../../server/openai/requests/sampling_defaults.js';
import { UsageError } from '../base/context.js';
import { MAX_COUNT } from '../base/numbers.js';
import { configOf, engineOptions, type EngineArgs } from '../engine/engine_options.js';
import { samplingConfig, samplingOptions, type SamplingArgs } from '../engine/sampling_options.js';
import { dashed } from '../advice/near_names.js';

/** The variable of the environment that may hold the key of a server. */
export const SERVER_KEY_VARIABLE = 'OPENAI_API_KEY';

/** The options of `chat` as yargs parses them; undefined: not given. */
export interface ChatArgs extends EngineArgs, SamplingArgs {
  readonly url?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly extraBody?: string | undefined;
  readonly system?: string | undefined;
  readonly load?: string | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the options of `chat` to a command line, those of the engine included. */
export function chatOptions<T>(yargs: Argv<T>): Argv<T & ChatArgs> {
  const group = 'Chat:';
  const server = 'Server:';
  const withChat = engineOptions(yargs)
    .option('system', { type: 'string', describe: 'what the model is told before all else', group })
    .option('load', { type: 'string', describe: 'go on with a conversation that /save wrote', group })
    .option('json', { type: 'boolean', describe: 'one JSON object an answer', group: 'Output:' })
    .option('url', {
      type: 'string',
      describe: "ask a server of OpenAI's API instead of an engine; --model: its name there (the first one)",
      group: server,
    })
    .option('api-key-file', {
      type: 'string',
      describe: `file with the server's API key (or ${SERVER_KEY_VARIABLE})`,
      group: server,
    })
    .option('extra-body', { type: 'string', describe: 'JSON object: further fields of each request', group: server });
  return samplingOptions(withChat, 'as the model or the server says', 'until the context is full');
}

/** Options that only a server has, and those that only an engine has: all but the model's. */
const OF_SERVER: readonly string[] = ['apiKeyFile', 'extraBody'];
const OF_ENGINE: Readonly<Record<Exclude<keyof EngineArgs, 'model'>, true>> = {
  ...{ config: true, set: true, plugin: true, backend: true, reduce: true, secretFile: true, trace: true },
  ...{ ranks: true, waitRanks: true, listen: true, advertise: true, joinTimeout: true },
  ...{ placement: true, numRedundantExperts: true, replicaChoice: true },
  ...{ routing: true, record: true, recordMode: true },
};

/** @throws UsageError naming an option that doesn't go with --url, or without */
export function checkChatOptions(args: ChatArgs): void {
  const unused = args.url === undefined ? OF_SERVER : Object.keys(OF_ENGINE);
  const given = unused.find((name) => args[name as keyof ChatArgs] !== undefined);
  if (given === undefined) return;
  const option = `--${dashed(given)}`;
  throw new UsageError(
    args.url === undefined
      ? `${option} is for a server; give its --url`
      : `${option} is for an engine of your own; leave it out, or --url`,
  );
}

/**
 * Of an engine: where nobody says otherwise, answers are sampled as generation_config.json says, as `serve` does, and as long as the context is.
 * Why: docs/decisions/chat.md#answers-are-sampled-as-the-server-samples-them
 * @throws ConfigError, WeightError
 */
export async function chatConfig(args: ChatArgs, env: Environment): Promise<ExpertwireConfig> {
  const flags = { generate: { ...samplingConfig(args), chat: true } };
  const { model } = await configOf(args, env, flags);
  const sampling = await readSamplingDefaults(model);
  return configOf(args, env, flags, { generate: { ...sampling, max_new_tokens: MAX_COUNT } });
}
