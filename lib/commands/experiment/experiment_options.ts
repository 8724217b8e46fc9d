import type { Argv } from 'yargs';

/** The options of `experiment` as yargs parses them. */
export interface ExperimentArgs {
  readonly file: string;
  readonly output?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly retryFailed?: boolean | undefined;
  readonly only?: readonly string[] | undefined;
  readonly runner?: string | undefined;
  readonly detach?: boolean | undefined;
  readonly collect?: boolean | undefined;
}

/** Adds the file and the options of `experiment` to a command line. */
export function experimentOptions<T>(yargs: Argv<T>): Argv<T & ExperimentArgs> {
  return yargs
    .positional('file', { type: 'string', demandOption: true, describe: 'YAML: what is swept, measured and shown' })
    .option('output', { type: 'string', describe: 'folder of results (experiments/NAME)' })
    .option('dry-run', { type: 'boolean', describe: 'check the file, print all runs and how long they take, and end' })
    .option('retry-failed', { type: 'boolean', describe: 'do runs again that failed' })
    .option('only', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'KEY=VALUE: only the runs whose key of the sweep, or seed, repeat or round, has the value; repeatable',
    })
    .option('runner', {
      type: 'string',
      describe: "where runs run: local, slurm, kubernetes, nats, or a mapping as the file's `runner` takes it (local)",
    })
    .option('detach', {
      type: 'boolean',
      describe: 'of Slurm: hand over all runs, and the report as a job behind them, and end',
    })
    .option('collect', { type: 'boolean', hidden: true });
}
