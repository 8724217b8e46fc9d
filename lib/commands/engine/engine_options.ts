/** Options of every command that starts an engine, and the configuration that they make. */
import { readFile } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { causeText, textOf } from '../../../base/foreign_text.js';
import { RECORD_MODES, type RecordMode } from '../../../experts/load/recording.js';
import { REPLICA_CHOICES } from '../../../experts/placement/replica_choice.js';
import { loadConfig, type PartialConfig } from '../../config/load.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { BACKEND_NAMES } from '../base/backend_option.js';
import { UsageError } from '../base/context.js';

/** The variable of the environment that may hold the job secret. */
export const SECRET_VARIABLE = 'EXPERTWIRE_JOB_SECRET';

/** The options of {@link engineOptions} as yargs parses them; undefined: not given. */
export interface EngineArgs {
  readonly config?: string | undefined;
  readonly model?: string | undefined;
  readonly ranks?: number | undefined;
  readonly backend?: string | undefined;
  readonly placement?: string | undefined;
  readonly numRedundantExperts?: number | undefined;
  readonly replicaChoice?: string | undefined;
  readonly reduce?: string | undefined;
  readonly plugin?: readonly string[] | undefined;
  readonly set?: readonly string[] | undefined;
  readonly listen?: string | undefined;
  readonly waitRanks?: number | undefined;
  readonly advertise?: string | undefined;
  readonly joinTimeout?: number | undefined;
  readonly secretFile?: string | undefined;
  readonly trace?: string | undefined;
  readonly routing?: string | undefined;
  readonly record?: string | undefined;
  readonly recordMode?: RecordMode | undefined;
}

/** Adds the options that every command with an engine has. Defaults come from the configuration. */
export function engineOptions<T>(yargs: Argv<T>): Argv<T & EngineArgs> {
  return yargs
    .option('config', { type: 'string', describe: 'YAML configuration', group: 'Job:' })
    .option('model', {
      type: 'string',
      describe: 'model folder in Hugging Face layout, or ORG/NAME that was pulled',
      group: 'Job:',
    })
    .option('ranks', { type: 'number', describe: 'rank processes to start here (1)', group: 'Job:' })
    .option('backend', { type: 'string', describe: `${BACKEND_NAMES} (auto)`, group: 'Job:' })
    .option('placement', {
      type: 'string',
      describe: 'linear, round_robin, or a file that plan wrote (linear)',
      group: 'Job:',
    })
    .option('num-redundant-experts', {
      type: 'number',
      describe: 'further copies of experts, per layer over all ranks (0)',
      group: 'Job:',
    })
    .option('replica-choice', { type: 'string', describe: `${REPLICA_CHOICES.join(', ')} (balanced)`, group: 'Job:' })
    .option('reduce', { type: 'string', describe: 'rank, or source: bit-equal for any ranks (rank)', group: 'Job:' })
    .option('plugin', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'module that brings gates, planners, … (docs/plugins.md); given once for each',
      group: 'Job:',
    })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'any configuration key: --set engine.mla=naive',
      group: 'Job:',
    })
    .option('listen', { type: 'string', describe: 'HOST:PORT where ranks of other machines join', group: 'Job:' })
    .option('wait-ranks', { type: 'number', describe: 'ranks of other machines to wait for', group: 'Job:' })
    .option('join-timeout', {
      type: 'number',
      describe: 'seconds without news while ranks join and load (600)',
      group: 'Job:',
    })
    .option('advertise', { type: 'string', describe: 'address of this machine for other ranks', group: 'Job:' })
    .option('secret-file', {
      type: 'string',
      describe: `file with the job secret (or ${SECRET_VARIABLE})`,
      group: 'Job:',
    })
    .option('trace', {
      type: 'string',
      describe:
        'trace of every rank: compute, rows that travel and to whom, loads, experts that move (ui.perfetto.dev)',
      group: 'Job:',
    })
    .option('routing', {
      type: 'string',
      describe: "an experiment: experts by a recording or synthetic load (zipf:1.0, …) instead of the gates' choice",
      group: 'Job:',
    })
    .option('record', {
      type: 'string',
      describe: 'record the load of the experts in this file (.jsonl.gz)',
      group: 'Output:',
    })
    .option('record-mode', {
      choices: RECORD_MODES,
      describe: 'sums per load_balance.window_size steps, one record per step, or the experts of each token (stat)',
      group: 'Output:',
    });
}

/**
 * The configuration that file, flags and --set make together. `env`: says where the hub's cache is; `defaults`: what counts where nobody says anything.
 */
export function configOf(
  args: EngineArgs & { readonly instance?: string | undefined },
  env: Environment,
  more: PartialConfig = {},
  defaults?: PartialConfig,
): Promise<ExpertwireConfig> {
  const flags = {
    model: args.model,
    backend: args.backend,
    parallel: { ranks: args.ranks },
    experts: {
      placement: args.placement,
      num_redundant_experts: args.numRedundantExperts,
      replica_choice: args.replicaChoice,
      routing: args.routing,
    },
    comm: { reduce: args.reduce },
    plugins: args.plugin,
    ...more,
  } as PartialConfig; // values are checked by the schema
  return loadConfig({
    defaults,
    file: args.config,
    instance: args.instance,
    flags,
    overrides: [...(args.set ?? [])],
    env,
  });
}

/** The job secret from a file or the environment; never from an argument, which every user of the machine can read. */
export async function readSecret(file: string | undefined, env: Environment): Promise<string | undefined> {
  if (file === undefined) return env[SECRET_VARIABLE] === '' ? undefined : env[SECRET_VARIABLE];
  let secret: string;
  try {
    secret = textOf(await readFile(file)).trim();
  } catch (cause) {
    throw new UsageError(`--secret-file ${file} can't be read (${causeText(cause)})`);
  }
  if (secret === '') throw new UsageError(`--secret-file ${file} is empty; put a line of random characters into it`);
  return secret;
}
