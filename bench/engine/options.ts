/** The options of `expertwire bench engine`, checked. */
import { UsageError } from '../../lib/commands/base/context.js';
import { list, seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';

/** What can be measured, in the order in which it is. */
export const MEASUREMENTS = ['batching', 'long_prompts', 'alone', 'head', 'prefix', 'moving', 'waste', 'http'] as const;

/** One of {@link MEASUREMENTS}. */
export type MeasurementName = (typeof MEASUREMENTS)[number];

/** What is measured, on what. */
export interface EngineBenchOptions {
  readonly names: readonly MeasurementName[];
  readonly model: string;
  readonly ranks: number;
  readonly rounds: number;
  readonly seed: number;
  readonly size: number;
  readonly set: readonly string[];
  readonly json: string | undefined;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): EngineBenchOptions {
  const what =
    'What the engine makes of its model: batching, long prompts, its own cost, the prefix cache, sequences that move, KV blocks and HTTP, each against a baseline of the same run.';
  const parsed = benchParser('engine', args, what)
    .option('only', {
      type: 'string',
      default: MEASUREMENTS.join(','),
      requiresArg: true,
      describe: 'what is measured',
    })
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('ranks', { type: 'number', default: 2, describe: 'of all measurements that name no number of their own' })
    .option('rounds', { type: 'number', default: 3, describe: 'in turns; the median counts' })
    .option('size', { type: 'number', default: 1, describe: 'of loads, as a part of the usual: less for trials' })
    .option('seed', { type: 'number', default: 1, describe: 'of prompts and lengths' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  wholeNumber('--ranks', parsed.ranks, 1);
  wholeNumber('--rounds', parsed.rounds, 1);
  seedNumber('--seed', parsed.seed);
  if (!(parsed.size > 0 && parsed.size <= 100))
    throw new UsageError(`--size is ${parsed.size}; give a number over 0, up to 100`);
  const { model, ranks, rounds, seed, size, set, json } = parsed;
  return { names: list(parsed.only).map(nameOf), model, ranks, rounds, seed, size, set, json };
}

function nameOf(text: string): MeasurementName {
  const name = MEASUREMENTS.find((each) => each === text);
  if (name !== undefined) return name;
  throw new UsageError(`--only: there is no '${text}'; give some of ${MEASUREMENTS.join(',')}`);
}
