/** The command line of `expertwire jobs`. */
import type { Argv } from 'yargs';
import { UsageError } from '../base/context.js';
import { jobPlaceOptions, type JobPlaceArgs } from './job_place.js';

/** What `jobs` does. */
export const ACTIONS = ['apply', 'ls', 'logs', 'run', 'stop', 'remove', 'fetch'] as const;
/** One of {@link ACTIONS}. */
export type JobsAction = (typeof ACTIONS)[number];

/** As yargs parses it. */
export interface JobsArgs extends JobPlaceArgs {
  readonly action: JobsAction;
  readonly names?: readonly string[] | undefined;
  readonly dryRun?: boolean | undefined;
  readonly runs?: boolean | undefined;
  readonly workers?: boolean | undefined;
  readonly dead?: boolean | undefined;
  readonly json?: boolean | undefined;
  readonly node?: string | undefined;
  readonly shard?: number | undefined;
  readonly follow?: boolean | undefined;
  readonly param?: readonly string[] | undefined;
  readonly resume?: string | undefined;
  readonly wait?: boolean | undefined;
  readonly output?: string | undefined;
}

/** Which action takes which option. */
const OPTIONS: Readonly<Record<JobsAction, readonly (keyof JobsArgs)[]>> = {
  apply: ['dryRun', 'json'],
  ls: ['runs', 'workers', 'dead', 'json'],
  logs: ['node', 'shard', 'follow', 'json'],
  run: ['param', 'resume', 'wait', 'json'],
  stop: ['json'],
  remove: ['json'],
  fetch: ['node', 'output', 'json'],
};

/** How many names it takes, and what they are. */
const NAMES: Readonly<Record<JobsAction, { readonly min: number; readonly max: number; readonly what: string }>> = {
  apply: { min: 1, max: Infinity, what: 'files of jobs' },
  ls: { min: 0, max: Infinity, what: 'jobs' },
  logs: { min: 1, max: 1, what: 'a run, or a job for its last run' },
  run: { min: 1, max: 1, what: 'a job' },
  stop: { min: 1, max: 1, what: 'a run, or a job for all of its runs' },
  remove: { min: 1, max: Infinity, what: 'jobs' },
  fetch: { min: 1, max: 1, what: 'a run, or a job for its last run' },
};

/** Adds the action, names and options of `jobs` to a command line. */
export function jobsOptions<T>(yargs: Argv<T>): Argv<T & JobsArgs> {
  const own = yargs
    .positional('action', {
      choices: ACTIONS,
      demandOption: true,
      describe: 'apply FILE…; ls [JOB…]; run JOB; logs, stop, fetch RUN|JOB; remove JOB…',
    })
    .positional('names', { type: 'string', array: true, describe: 'files, jobs or a run' })
    .option('dry-run', {
      type: 'boolean',
      describe: 'apply: check the files, print what they are, and keep nothing',
      group: 'apply:',
    })
    .option('runs', { type: 'boolean', describe: 'runs instead of jobs, the last one first', group: 'ls:' })
    .option('workers', { type: 'boolean', describe: 'workers that are there', group: 'ls:' })
    .option('dead', { type: 'boolean', describe: 'tasks that nobody can do', group: 'ls:' })
    .option('node', { type: 'string', describe: 'this node alone', group: 'logs, fetch:' })
    .option('shard', { type: 'number', describe: 'this shard of the node alone', group: 'logs, fetch:' })
    .option('follow', { type: 'boolean', describe: 'go on until the run ends', group: 'logs, fetch:' })
    .option('output', { type: 'string', describe: 'folder for the files (./RUN)', group: 'logs, fetch:' })
    .option('param', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'KEY=VALUE for ${param.KEY}; repeatable',
      group: 'run:',
    })
    .option('resume', { type: 'string', describe: 'go on with what failed of this run', group: 'run:' })
    .option('wait', { type: 'boolean', describe: 'wait for its end; exit code 1 where it fails', group: 'run:' })
    .option('json', { type: 'boolean', describe: 'JSON, one object a line' });
  return jobPlaceOptions(own).epilogue('Docs: docs/jobs.md.');
}

/** Names as the action takes them. @throws UsageError for more or fewer, and for an option of another action */
export function checkedNames(args: JobsArgs): readonly string[] {
  const { action, names = [] } = args;
  const { min, max, what } = NAMES[action];
  if (names.length < min || names.length > max)
    throw new UsageError(
      `jobs ${action} takes ${what}, and got ${names.length === 0 ? 'nothing' : names.join(' ')}; see expertwire jobs --help`,
    );
  const all = Object.values(OPTIONS).flat();
  const wrong = all.find((name) => args[name] !== undefined && !OPTIONS[action].includes(name));
  if (wrong === undefined) return names;
  const actions = ACTIONS.filter((each) => OPTIONS[each].includes(wrong));
  throw new UsageError(
    `--${wrong.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} is of jobs ${actions.join(', ')}, not of jobs ${action}; leave it out`,
  );
}
