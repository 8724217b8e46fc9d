/** The options of `expertwire bench jobs`, checked. */
import { UsageError } from '../../lib/commands/base/context.js';
import { list, wholeNumber } from '../../lib/commands/base/numbers.js';
import { MAX_SHARDS } from '../../lib/jobs/base/job.js';
import { benchParser } from '../base/options.js';

/** What can be measured, in the order in which it is. */
export const MEASUREMENTS = ['queue', 'tasks', 'triggers'] as const;
/** One of {@link MEASUREMENTS}. */
export type MeasurementName = (typeof MEASUREMENTS)[number];

/** What keeps jobs: a nats-server that is started for it, with a process for each worker; a folder, with all in one process. */
export const BUSES = ['nats', 'local'] as const;
/** One of {@link BUSES}. */
export type BusName = (typeof BUSES)[number];

/** What is measured, and how. */
export interface JobsBenchOptions {
  readonly names: readonly MeasurementName[];
  readonly buses: readonly BusName[];
  readonly workers: number;
  /** Shards at a time, of each worker. */
  readonly width: number;
  /** Runs of `queue`. */
  readonly runs: number;
  /** Shards of the job of `tasks`. */
  readonly tasks: number;
  /** Of each row of `triggers`. */
  readonly seconds: number;
  readonly json: string | undefined;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): JobsBenchOptions {
  const what =
    'Jobs: what waiting in line adds to a run, how many shards per second workers take, and how late a job begins that is due each second.';
  const parsed = benchParser('jobs', args, what)
    .option('only', {
      type: 'string',
      default: MEASUREMENTS.join(','),
      requiresArg: true,
      describe: 'what is measured',
    })
    .option('buses', { type: 'string', default: BUSES.join(','), requiresArg: true, describe: 'what keeps jobs' })
    .option('workers', { type: 'number', default: 4, describe: 'over NATS a process each' })
    .option('width', { type: 'number', default: 4, describe: 'shards at a time, of each worker' })
    .option('runs', { type: 'number', default: 200, describe: 'queue: one after the other' })
    .option('tasks', { type: 'number', default: MAX_SHARDS, describe: 'tasks: shards of the job' })
    .option('seconds', { type: 'number', default: 60, describe: 'triggers: of each row' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  const { workers, width, runs, tasks, seconds, json } = parsed;
  for (const [name, value] of Object.entries({ workers, width, runs, seconds })) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--tasks', tasks, 1, MAX_SHARDS);
  return {
    ...{
      names: list(parsed.only).map((text) => oneOf('--only', text, MEASUREMENTS)),
      workers,
      width,
      runs,
      tasks,
      seconds,
    },
    ...{ buses: list(parsed.buses).map((text) => oneOf('--buses', text, BUSES)), json },
  };
}

function oneOf<Name extends string>(option: string, text: string, names: readonly Name[]): Name {
  const name = names.find((each) => each === text);
  if (name !== undefined) return name;
  throw new UsageError(`${option}: there is no '${text}'; give some of ${names.join(',')}`);
}
