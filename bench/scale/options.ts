/** The options of `expertwire bench scale`, checked. */
import { MAX_RANKS } from '../../base/ids.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { seedNumber, wholeNumber, wholeNumbers } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';

/** What is scaled, and under which load. */
export interface ScaleOptions {
  readonly model: string;
  /** Numbers of ranks, one after the other; the job begins with the first. */
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly spares: number;
  readonly seed: number;
  /** Experts beyond one of each: replicas. */
  readonly redundant: number;
  /** Streams at a time, and the requests that they ask in turn. */
  readonly streams: number;
  readonly requests: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Of all streams, before each change. */
  readonly gapTokens: number;
  readonly set: readonly string[];
  readonly json: string | undefined;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): ScaleOptions {
  const what =
    'A job under load whose ranks become more and fewer: how long each change takes, what it holds up, and that the tokens are those of ranks that stay.';
  const parsed = benchParser('scale', args, what)
    .option('sizes', { type: 'string', default: '2,4,2,3', requiresArg: true, describe: 'numbers of ranks in turn' })
    .option('rounds', { type: 'number', default: 1, describe: 'how often all of them' })
    .option('spares', { type: 'number', default: 0, describe: 'parallel.spare_ranks' })
    .option('redundant', { type: 'number', default: 0, describe: 'experts.num_redundant_experts' })
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('seed', { type: 'number', default: 1, describe: 'of requests' })
    .option('streams', { type: 'number', default: 4, describe: 'requests at a time' })
    .option('requests', { type: 'number', default: 16, describe: 'that are asked in turn, half of them sampled' })
    .option('prompt-tokens', { type: 'number', default: 64, describe: 'of the longest prompt' })
    .option('new-tokens', { type: 'number', default: 64, describe: 'of the longest answer' })
    .option('gap-tokens', { type: 'number', default: 400, describe: 'tokens of all streams before each change' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'string', requiresArg: true, describe: 'file for all figures' })
    .parseSync();
  const { model, rounds, spares, seed, redundant, streams, requests, promptTokens, newTokens, gapTokens } = parsed;
  const sizes = wholeNumbers('--sizes', parsed.sizes, 1, MAX_RANKS);
  if (sizes.length < 2) throw new UsageError(`--sizes is ${parsed.sizes}; give at least two numbers of ranks`);
  const counts = { rounds, streams, requests, 'prompt-tokens': promptTokens, 'new-tokens': newTokens };
  for (const [name, value] of Object.entries(counts)) wholeNumber(`--${name}`, value, 1);
  wholeNumber('--gap-tokens', gapTokens, 1);
  wholeNumber('--spares', spares, 0, MAX_RANKS);
  wholeNumber('--redundant', redundant, 0);
  seedNumber('--seed', seed);
  const { set, json } = parsed;
  return {
    ...{ model, sizes, rounds, spares, seed, redundant, streams, requests, promptTokens, newTokens, gapTokens },
    ...{ set, json },
  };
}
