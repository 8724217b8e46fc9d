/** The options of `expertwire bench experiment`, checked. */
import { MAX_RANKS } from '../../base/ids.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';

/** What each run computes. */
export interface RunnerOptions {
  readonly model: string;
  readonly ranks: number;
  readonly rounds: number;
  readonly seed: number;
  readonly promptWords: number;
  readonly newTokens: number;
  /** Address of NATS; null: a bus of this process. */
  readonly bus: string | null;
  readonly json: boolean;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): RunnerOptions {
  const what = 'What an experiment adds to a run, beside the same tokens of generate and measure by hand, in turns.';
  const { model, ranks, rounds, seed, promptWords, newTokens, bus, json } = benchParser('experiment', args, what)
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('ranks', { type: 'number', default: 2, describe: 'of each run' })
    .option('rounds', { type: 'number', default: 5, describe: 'in turns; the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of the run' })
    .option('prompt-words', { type: 'number', default: 16, describe: 'of the prompt' })
    .option('new-tokens', { type: 'number', default: 16, describe: 'of the answer' })
    .option('bus', { type: 'string', describe: 'of runs in line: nats://HOST:PORT (a bus of this process)' })
    .option('json', { type: 'boolean', default: false, describe: 'figures for machines' })
    .parseSync();
  wholeNumber('--ranks', ranks, 1, MAX_RANKS);
  for (const [name, value] of Object.entries({ rounds, 'prompt-words': promptWords, 'new-tokens': newTokens }))
    wholeNumber(`--${name}`, value, 1);
  seedNumber('--seed', seed);
  if (bus !== undefined && !/^(?:nats|tls):\/\//.test(bus))
    throw new UsageError(`--bus ${bus} is no address of NATS; give such as nats://127.0.0.1:4222`);
  return { model, ranks, rounds, seed, promptWords, newTokens, bus: bus ?? null, json };
}
