/** The command line of `serve`, which needs nothing of what it starts. */
import type { Argv } from 'yargs';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { configOf, engineOptions, type EngineArgs } from '../engine/engine_options.js';
import { API_KEY_VARIABLE, CLUSTER_KEY_VARIABLE } from './api_key_source.js';

/** The options of `serve` as yargs parses them; undefined: as the configuration says. */
export interface ServeArgs extends EngineArgs {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly servedModelName?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly clusterKeyFile?: string | undefined;
  readonly instance?: string | undefined;
  readonly resume?: boolean | undefined;
  /** Its parent is `expertwire cluster`. */
  readonly spawned?: boolean | undefined;
}

/** Adds the options of `serve` to a command line, those of the engine included. */
export function serveOptions<T>(yargs: Argv<T>): Argv<T & ServeArgs> {
  const group = 'Server:';
  return engineOptions(yargs)
    .option('host', { type: 'string', describe: 'address to listen at (127.0.0.1)', group })
    .option('port', { type: 'number', describe: 'port to listen at; 0: any free one (8000)', group })
    .option('served-model-name', { type: 'string', describe: "what clients call the model (its folder's name)", group })
    .option('api-key-file', {
      type: 'string',
      describe: `file with one API key a line (or ${API_KEY_VARIABLE}, with commas between them)`,
      group,
    })
    .option('cluster-key-file', {
      type: 'string',
      describe: `file with the key of routers and other instances (or ${CLUSTER_KEY_VARIABLE})`,
      group,
    })
    .option('instance', {
      type: 'string',
      describe: "be one of the configuration's instances, by its name, for the router of a cluster (docs/cluster.md)",
      group,
    })
    .option('spawned', { type: 'boolean', hidden: true })
    .option('resume', {
      type: 'boolean',
      describe: 'take over the ranks of a server that died and had parallel.head_grace_ms: nothing is loaded again',
      group,
    });
}

/** @throws ConfigError */
export const serveConfig = (args: ServeArgs, env: Environment): Promise<ExpertwireConfig> => {
  const { host, port, servedModelName: served_model_name } = args;
  return configOf(args, env, { server: { host, port, served_model_name } });
};
