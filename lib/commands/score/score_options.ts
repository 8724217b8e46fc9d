/** Options of `expertwire score`. */
import type { Argv } from 'yargs';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { configOf, engineOptions, type EngineArgs } from '../engine/engine_options.js';

/** The options of `score` as yargs parses them. */
export interface ScoreArgs extends EngineArgs {
  readonly text?: string | undefined;
  readonly file?: string | undefined;
  readonly ids?: string | undefined;
  readonly logits?: string | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the options of `score` to a command line, those of the engine included. */
export function scoreOptions<T>(yargs: Argv<T>): Argv<T & ScoreArgs> {
  return engineOptions(yargs)
    .option('text', { type: 'string', describe: 'the text', group: 'Text:' })
    .option('file', { type: 'string', describe: 'a file with the text', group: 'Text:' })
    .option('ids', { type: 'string', describe: 'the text as token ids: 5,17,3', group: 'Text:' })
    .conflicts({ text: ['file', 'ids'], file: 'ids' })
    .option('logits', { type: 'string', describe: 'write float32 logits [T,V] to this .npy file', group: 'Output:' })
    .option('json', { type: 'boolean', describe: 'one JSON object', group: 'Output:' });
}

/** @throws ConfigError */
export const scoreConfig = (args: ScoreArgs, env: Environment): Promise<ExpertwireConfig> => configOf(args, env);
