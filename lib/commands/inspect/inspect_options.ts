/** Options of `expertwire inspect`, and the configuration that they make. */
import { dirname, basename } from 'node:path';
import type { Argv } from 'yargs';
import { MAX_RANKS } from '../../../base/ids.js';
import { loadConfig } from '../../config/load.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { wholeNumbers } from '../base/numbers.js';

/** The options of `inspect` as yargs parses them. */
export interface InspectArgs {
  readonly model?: string | undefined;
  readonly ranks: string;
  readonly config?: string | undefined;
  readonly plugin?: readonly string[] | undefined;
  readonly set?: readonly string[] | undefined;
  readonly json?: boolean | undefined;
}

/** Adds the model and the options of `inspect` to a command line. */
export function inspectOptions<T>(yargs: Argv<T>): Argv<T & InspectArgs> {
  return yargs
    .positional('model', {
      type: 'string',
      describe: 'model folder, its config.json, or ORG/NAME[@REVISION] of the cache',
    })
    .option('ranks', { type: 'string', default: '1,2,4,8', describe: 'numbers of ranks to tell the bytes for' })
    .option('config', { type: 'string', describe: 'YAML configuration: its model and limits' })
    .option('plugin', { type: 'string', array: true, nargs: 1, describe: 'module that brings a family, a gate, …' })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'any configuration key: --set engine.max_model_len=4096',
    })
    .option('json', { type: 'boolean', describe: 'one JSON object' });
}

/** @throws ConfigError */
export async function inspectConfig(
  { model, config, plugin, set = [] }: InspectArgs,
  env: Environment,
): Promise<ExpertwireConfig> {
  const folder = model !== undefined && basename(model) === 'config.json' ? dirname(model) : model;
  return loadConfig({ file: config, flags: { model: folder, plugins: plugin }, overrides: [...set], env });
}

/** @throws UsageError */
export const rankNumbers = ({ ranks }: InspectArgs): number[] => wholeNumbers('--ranks', ranks, 1, MAX_RANKS);
