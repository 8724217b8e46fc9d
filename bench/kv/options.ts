/** The options of `expertwire bench kv`, checked. */
import { UsageError } from '../../lib/commands/base/context.js';
import { list, seedNumber, wholeNumber, wholeNumbers } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';

/** What can be measured, in the order in which it is. */
export const MEASUREMENTS = ['hits', 'transfer', 'disk', 'int8'] as const;

/** One of {@link MEASUREMENTS}. */
export type MeasurementName = (typeof MEASUREMENTS)[number];

/** What the random model has room for, with what is computed besides. */
const MAX_LENGTH = 8000;

/** What is measured, and how. */
export interface KvBenchOptions {
  readonly names: readonly MeasurementName[];
  /** A folder. */
  readonly model: string;
  readonly rounds: number;
  readonly seed: number;
  /** Requests of each load of `hits`. */
  readonly requests: number;
  /** Files of traces that `hits` plays, besides `turns`. */
  readonly traces: readonly string[];
  /** Lengths in the load / lengths in a trace. */
  readonly traceScale: number;
  /** Tokens of prompts that come from elsewhere or are computed. */
  readonly lengths: readonly number[];
  /** Tokens before the answers of `int8`. */
  readonly contexts: readonly number[];
  /** Files of text that `int8` scores, so many pieces of them; none: what the model samples. */
  readonly texts: readonly string[];
  readonly pieces: number;
  /** Of all engines and instances. */
  readonly set: readonly string[];
  readonly json: string | undefined;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): KvBenchOptions {
  const what = 'Keys and values as a store: what is found in caches, each figure against a baseline of the same run.';
  const parsed = benchParser('kv', args, what)
    .option('only', {
      type: 'string',
      default: MEASUREMENTS.join(','),
      requiresArg: true,
      describe: 'what is measured',
    })
    .option('model', { type: 'string', default: DEMO_MODEL, requiresArg: true, describe: 'a folder' })
    .option('rounds', { type: 'number', default: 5, describe: 'in turns; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of prompts and loads' })
    .option('requests', { type: 'number', default: 96, describe: 'hits: of each load' })
    .option('trace', {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'hits: a file of Mooncake’s form, plain or .gz, whose first requests are played too',
    })
    .option('trace-scale', { type: 'number', default: 1 / 64, describe: 'hits: lengths here / lengths in a trace' })
    .option('lengths', {
      type: 'string',
      default: '64,128,256,512,1024,2048,4096',
      requiresArg: true,
      describe: 'transfer, disk: tokens of prompts that lie elsewhere',
    })
    .option('contexts', { type: 'string', default: '2048,8192', describe: 'int8: tokens before an answer' })
    .option('text', {
      type: 'string',
      array: true,
      nargs: 1,
      default: [],
      describe: 'int8: a file that is scored; none: what the model samples',
    })
    .option('pieces', { type: 'number', default: 64, describe: 'int8: of text, 160 tokens each' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any key, of all engines' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  const { model, rounds, seed, requests, trace: traces, traceScale, text: texts, pieces, set, json } = parsed;
  wholeNumber('--rounds', rounds, 1);
  wholeNumber('--requests', requests, 4);
  wholeNumber('--pieces', pieces, 1);
  seedNumber('--seed', seed);
  if (!(traceScale > 0 && traceScale <= 1))
    throw new UsageError('--trace-scale is no number in (0, 1]; give 1/64 as 0.015625');
  const lengths = wholeNumbers('--lengths', parsed.lengths, 32, MAX_LENGTH);
  return {
    ...{ names: list(parsed.only).map(nameOf), model, rounds, seed, requests, traces, traceScale, lengths },
    ...{ contexts: wholeNumbers('--contexts', parsed.contexts), texts, pieces, set, json },
  };
}

function nameOf(text: string): MeasurementName {
  const name = MEASUREMENTS.find((each) => each === text);
  if (name !== undefined) return name;
  throw new UsageError(`--only: there is no '${text}'; give some of ${MEASUREMENTS.join(',')}`);
}
