/** The options of `expertwire bench slow`, checked. */
import { MAX_RANKS } from '../../base/ids.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';

/** What runs, and how slow its last rank is. */
export interface SlowOptions {
  readonly model: string;
  readonly ranks: number;
  /** Times as long as the others takes the last one for whatever it computes. */
  readonly factor: number;
  /** Experts beyond one of each: replicas. */
  readonly redundant: number;
  /** Sequences at a time, of so many tokens. */
  readonly streams: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly rounds: number;
  /** Times all prompts, at most, until the job has found out how fast its ranks are and experts are where they should be. */
  readonly warmUps: number;
  readonly seed: number;
  readonly set: readonly string[];
  readonly json: string | undefined;
}

/** A rank that is so slow should hold no experts, says the planner. */
const MAX_FACTOR = 100;

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): SlowOptions {
  const what =
    'A job of which one rank is slow: how long its steps take when every rank gets the same work, when each gets what it can, and at best.';
  const parsed = benchParser('slow', args, what)
    .option('factor', { type: 'number', default: 2, describe: 'how many times longer the last rank takes' })
    .option('ranks', { type: 'number', default: 2, describe: 'each needs a core of its own for true figures' })
    .option('redundant', { type: 'number', default: 0, describe: 'experts.num_redundant_experts' })
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('streams', { type: 'number', default: 48, describe: 'sequences at a time' })
    .option('prompt-tokens', { type: 'number', default: 16, describe: 'tokens of each prompt' })
    .option('new-tokens', { type: 'number', default: 128, describe: 'tokens of each answer' })
    .option('rounds', { type: 'number', default: 5, describe: 'each way to share work out takes its turn in each' })
    .option('warm-ups', { type: 'number', default: 32, describe: 'of the job that shares out, at most' })
    .option('seed', { type: 'number', default: 1, describe: 'of the prompts' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  const { model, ranks, factor, redundant, streams, promptTokens, newTokens, rounds, warmUps, seed, set, json } =
    parsed;
  wholeNumber('--ranks', ranks, 2, MAX_RANKS);
  if (!(factor >= 1 && factor <= MAX_FACTOR)) {
    throw new UsageError(`--factor is ${factor}; give a number from 1 to ${MAX_FACTOR}`);
  }
  const counts = { streams, 'prompt-tokens': promptTokens, 'new-tokens': newTokens, rounds, 'warm-ups': warmUps };
  for (const [name, value] of Object.entries(counts)) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--redundant', redundant, 0);
  seedNumber('--seed', seed);
  return { model, ranks, factor, redundant, streams, promptTokens, newTokens, rounds, warmUps, seed, set, json };
}
