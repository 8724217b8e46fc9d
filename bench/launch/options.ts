/** The options of `expertwire bench launch`, checked. */
import { MAX_RANKS } from '../../base/ids.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { wholeNumber } from '../../lib/commands/base/numbers.js';
import { DEMO_MODEL } from '../../lib/config/package_files.js';
import { benchParser } from '../base/options.js';
import { LAUNCHERS, type LauncherName } from './launchers.js';

/** Which jobs start, and how often. */
export interface LaunchBenchOptions {
  readonly model: string;
  readonly ranks: number;
  readonly rounds: number;
  readonly only: readonly LauncherName[];
  readonly set: readonly string[];
  readonly json: boolean;
}

/** Reads and checks the options. @throws UsageError */
export function parseOptions(args: readonly string[]): LaunchBenchOptions {
  const names = Object.keys(LAUNCHERS) as LauncherName[];
  const what =
    'Jobs of ranks under launchers, each until its first token, against the same command by hand, which starts the ranks itself. Launchers that are not installed are said.';
  const { model, ranks, rounds, only, set, json } = benchParser('launch', args, what)
    .option('model', {
      type: 'string',
      default: DEMO_MODEL,
      defaultDescription: 'models/moe-7m',
      describe: 'model folder',
    })
    .option('ranks', { type: 'number', default: 8, describe: 'of each job, all on this machine' })
    .option('rounds', { type: 'number', default: 5, describe: 'in turns; the median counts' })
    .option('only', { type: 'string', default: names.join(','), describe: 'launchers, with commas between them' })
    .option('set', { type: 'string', array: true, nargs: 1, default: [], describe: 'any configuration key' })
    .option('json', { type: 'boolean', default: false, describe: 'figures for machines' })
    .parseSync();
  wholeNumber('--ranks', ranks, 2, MAX_RANKS);
  wholeNumber('--rounds', rounds, 1);
  return { model, ranks, rounds, only: launchersIn(only, names), set, json };
}

function launchersIn(only: string, names: readonly LauncherName[]): LauncherName[] {
  return only.split(',').map((name) => {
    const found = names.find((each) => each === name);
    if (found === undefined) throw new UsageError(`--only ${name}: give some of ${names.join(',')}`);
    return found;
  });
}
