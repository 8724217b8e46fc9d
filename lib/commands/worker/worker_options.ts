/** The command line of `expertwire worker`. */
import type { Argv } from 'yargs';
import { jobPlaceOptions, type JobPlaceArgs } from '../jobs/job_place.js';
import { API_KEY_VARIABLE } from '../serve/api_key_source.js';

/** As yargs parses it. */
export interface WorkerArgs extends JobPlaceArgs {
  readonly parallel?: number | undefined;
  readonly name?: string | undefined;
  readonly models?: readonly string[] | undefined;
  readonly server?: readonly string[] | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly allowPlugins?: boolean | undefined;
  readonly drainTimeout?: number | undefined;
}

/** Of a worker that is asked to end. */
export const DEFAULT_DRAIN_S = 60;

/** Adds the options of `worker` to a command line. */
export function workerOptions<T>(yargs: Argv<T>): Argv<T & WorkerArgs> {
  const group = 'Worker:';
  const own = yargs
    .option('parallel', { type: 'number', describe: 'tasks at a time (1)', group })
    .option('name', {
      type: 'string',
      describe: 'letters, digits, - and _; no other worker has it (HOST-PROCESS)',
      group,
    })
    .option('drain-timeout', {
      type: 'number',
      describe: `seconds for what runs, after SIGTERM; then it is given back (${DEFAULT_DRAIN_S})`,
      group,
    });
  const rights = 'What jobs may use:';
  return jobPlaceOptions(
    own
      .option('models', {
        type: 'string',
        array: true,
        nargs: 1,
        describe:
          "folder with models and other files that jobs may read, besides this package's models and the hub's cache; given once for each",
        group: rights,
      })
      .option('server', {
        type: 'string',
        array: true,
        nargs: 1,
        describe:
          'http://HOST:PORT that jobs may ask, with the API key; without one those of this machine too; given once for each',
        group: rights,
      })
      .option('api-key-file', {
        type: 'string',
        describe: `file with the API key for them (or ${API_KEY_VARIABLE})`,
        group: rights,
      })
      .option('allow-plugins', {
        type: 'boolean',
        describe: 'whoever may write jobs may run code here: plug-ins, configurations of files, benchmarks',
        group: rights,
      }),
  ).epilogue('Docs: docs/jobs.md.');
}
