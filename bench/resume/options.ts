/** The options of `expertwire bench resume`, checked. */
import { MAX_RANKS } from '../../base/ids.js';
import { seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';

/** Which head dies, and what it streams then. */
export interface ResumeOptions {
  readonly model: string;
  readonly ranks: number;
  readonly rounds: number;
  readonly seed: number;
  readonly promptTokens: number;
  /** It dies behind half of them. */
  readonly newTokens: number;
  readonly set: readonly string[];
  readonly json: boolean;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): ResumeOptions {
  const what =
    'A server that is killed while it streams, with a journal: how long until the next one has a further token, with ranks that outlive it and with ranks that are started anew.';
  const { model, ranks, rounds, seed, promptTokens, newTokens, set, json } = benchParser('resume', args, what)
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('ranks', { type: 'number', default: 2, describe: 'of the server' })
    .option('rounds', { type: 'number', default: 3, describe: 'in turns; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of the answer' })
    .option('prompt-tokens', { type: 'number', default: 64, describe: 'of the prompt' })
    .option('new-tokens', {
      type: 'number',
      default: 200,
      describe: 'of the answer; the server dies behind half of them',
    })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'boolean', default: false, describe: 'figures for machines' })
    .parseSync();
  wholeNumber('--ranks', ranks, 1, MAX_RANKS);
  for (const [name, value] of Object.entries({ rounds, 'prompt-tokens': promptTokens }))
    wholeNumber(`--${name}`, value, 1);
  wholeNumber('--new-tokens', newTokens, 4);
  seedNumber('--seed', seed);
  return { model, ranks, rounds, seed, promptTokens, newTokens, set, json };
}
