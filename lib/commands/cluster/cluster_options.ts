/** The command lines of `cluster` and `route`, and the configurations that they make. */
import type { Argv } from 'yargs';
import { ROUTING_POLICIES } from '../../config/plugin_names.js';
import { ConfigError } from '../../config/errors.js';
import { DEMO_MODEL } from '../../config/package_files.js';
import { loadConfig, type PartialConfig } from '../../config/load.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { API_KEY_VARIABLE, CLUSTER_KEY_VARIABLE } from '../serve/api_key_source.js';

/** What both commands take; undefined: as the configuration says. */
export interface RouterArgs {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly policy?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly clusterKeyFile?: string | undefined;
  readonly plugin?: readonly string[] | undefined;
  readonly set?: readonly string[] | undefined;
}

/** The options of `cluster` as yargs parses them. */
export interface ClusterArgs extends RouterArgs {
  readonly file: string;
  readonly model?: string | undefined;
  readonly backend?: string | undefined;
}

/** The options of `route` as yargs parses them. */
export interface RouteArgs extends RouterArgs {
  readonly config?: string | undefined;
  readonly model?: string | undefined;
  readonly url?: readonly string[] | undefined;
  readonly bus?: string | undefined;
}

/** Adds the options of `cluster` to a command line. */
export function clusterOptions<T>(yargs: Argv<T>): Argv<T & ClusterArgs> {
  return routerOptions(
    yargs
      .positional('file', { type: 'string', demandOption: true, describe: 'YAML configuration with "instances"' })
      .option('model', { type: 'string', describe: 'model folder or ORG/NAME, of all instances', group: 'Instances:' })
      .option('backend', { type: 'string', describe: 'backend of their ranks', group: 'Instances:' }),
  ).epilogue('Docs: docs/cluster.md. Every key of the file: docs/configuration.md.');
}

/** Adds the options of `route` to a command line. */
export function routeOptions<T>(yargs: Argv<T>): Argv<T & RouteArgs> {
  return routerOptions(
    yargs
      .option('config', { type: 'string', describe: 'YAML configuration', group: 'Instances:' })
      .option('model', {
        type: 'string',
        describe: "folder or ORG/NAME of the instances' model: its tokenizer tells which prompts begin alike",
        group: 'Instances:',
      })
      .option('url', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'a server to route to, ours or another of the OpenAI API; given once for each',
        group: 'Instances:',
      })
      .option('bus', {
        type: 'string',
        describe: 'nats://HOST:PORT where instances say that they are there (local)',
        group: 'Instances:',
      }),
  ).epilogue('Docs: docs/cluster.md.');
}

/** @throws ConfigError */
export const clusterConfig = (args: ClusterArgs, env: Environment): Promise<ExpertwireConfig> => {
  const { file, model, backend } = args;
  return configOf(args, env, file, { model, backend } as PartialConfig);
};

/**
 * A router reads prompts with the tokenizer of instances' model, where that is on this machine too; otherwise it knows their text alone, and what a file says of the model
 * counts for nothing.
 * @throws ConfigError
 */
export async function routeConfig(args: RouteArgs, env: Environment): Promise<ExpertwireConfig> {
  const { config, model, url, bus } = args;
  const instances = url?.map((each) => ({ url: each }));
  const load = (flags: PartialConfig): Promise<ExpertwireConfig> =>
    configOf(args, env, config, { ...flags, instances, cluster: { bus } });
  if (model !== undefined) return load({ model });
  return load({}).catch((error: unknown) => {
    if (!(error instanceof ConfigError && error.key === 'model')) throw error;
    return load({ model: DEMO_MODEL });
  });
}

function configOf(args: RouterArgs, env: Environment, file: string | undefined, more: PartialConfig) {
  const { host, port, policy, plugin } = args;
  const flags = { ...more, router: { host, port, policy }, plugins: plugin } as PartialConfig; // checked by the schema
  return loadConfig({ file, flags, overrides: args.set ?? [], env });
}

function routerOptions<T>(yargs: Argv<T>): Argv<T & RouterArgs> {
  const group = 'Router:';
  return yargs
    .option('host', { type: 'string', describe: 'address to listen at (127.0.0.1)', group })
    .option('port', { type: 'number', describe: 'port to listen at; 0: any free one (8000)', group })
    .option('policy', {
      type: 'string',
      describe: `who gets a request: ${ROUTING_POLICIES.join(', ')}, or a plug-in's (kv)`,
      group,
    })
    .option('api-key-file', {
      type: 'string',
      describe: `file with one API key a line (or ${API_KEY_VARIABLE}, with commas between them)`,
      group,
    })
    .option('cluster-key-file', {
      type: 'string',
      describe: `file with the key by which router and instances know each other (or ${CLUSTER_KEY_VARIABLE})`,
      group,
    })
    .option('plugin', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'module that brings a routing policy, … (docs/plugins.md); given once for each',
      group,
    })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'any configuration key: --set router.temperature=0.5',
      group,
    });
}
