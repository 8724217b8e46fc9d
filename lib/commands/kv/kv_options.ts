/** The command line of `expertwire kv`. */
import type { Argv } from 'yargs';
import { DEFAULTS } from '../../config/schema.js';
import { API_KEY_VARIABLE } from '../serve/api_key_source.js';

/** As yargs parses it. */
export interface KvArgs {
  readonly action: 'ls' | 'clear';
  readonly url?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly path?: string | undefined;
  readonly json?: boolean | undefined;
}

const { host, port } = DEFAULTS.server;
/** Where `serve` listens unless it is told otherwise. */
export const DEFAULT_URL = `http://${host}:${port}`;

/** Adds the action and the options of `kv` to a command line. */
export function kvOptions<T>(yargs: Argv<T>): Argv<T & KvArgs> {
  return yargs
    .positional('action', {
      choices: ['ls', 'clear'] as const,
      demandOption: true,
      describe: 'ls: what lies where; clear: forget all of it, while no request runs',
    })
    .option('url', { type: 'string', describe: `of the server (${DEFAULT_URL})` })
    .option('api-key-file', { type: 'string', describe: `file with its API key (or ${API_KEY_VARIABLE})` })
    .option('path', { type: 'string', describe: 'instead of a server: the folder of a disk tier (engine.kv_tiers)' })
    .option('json', { type: 'boolean', describe: 'one JSON object' });
}
