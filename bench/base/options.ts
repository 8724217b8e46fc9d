/** What the options of all benchmarks have in common. */
import { AsyncLocalStorage } from 'node:async_hooks';
import yargs, { type Argv } from 'yargs';
import { UsageError } from '../../lib/commands/base/context.js';
import { adviceOn } from '../../lib/commands/advice/usage_advice.js';
import { keepLast } from '../../lib/commands/base/repeated_options.js';
import {
  ASK_OPTIONS,
  endHelpWith,
  optionNames,
  OptionsAsked,
  toldOptions,
} from '../../lib/commands/base/yargs_internals.js';
import { aboveOptions, belowOptions } from '../../lib/commands/help/help_text.js';
import { helpWidth } from '../../lib/commands/help/layout.js';
import { BENCH_HELPS } from '../help/bench_helps.js';

/** A parser of a benchmark's own options, which refuses what it doesn't know. */
export function benchParser(name: string, args: readonly string[], describe: string): Argv {
  const help = BENCH_HELPS[name];
  const cli: Argv = yargs([...args]);
  const width = helpWidth({ columns: cli.terminalWidth() });
  endHelpWith(cli, belowOptions(help ?? {}, width));
  cli
    .scriptName(`expertwire bench ${name}`)
    .usage(aboveOptions('$0', describe, help?.when, width))
    .wrap(width)
    .strict()
    .alias('help', 'h')
    .hide('version')
    .middleware((parsed) => {
      if (args.includes(ASK_OPTIONS)) throw new OptionsAsked(toldOptions(cli));
      keepLast(parsed, cli);
    }, true)
    .fail((message, error) => {
      if (error instanceof Error) throw error; // the types promise an error, yargs passes undefined for its own checks
      throw new UsageError(adviceOn({ message, args, own: { name: `bench ${name}`, options: optionNames(cli) } }));
    });
  return withLook(cli);
}

/** Whoever only looks at arguments. */
const looking = new AsyncLocalStorage<true>();

/** Thrown where a benchmark would begin, for those who only look. */
class ArgumentsAccepted extends Error {}

/**
 * Finds what a benchmark refuses of its options, without running it: those that there aren't, and values that can't be. Files are read when it runs.
 * @throws UsageError; what loading plug-ins throws
 */
export async function lookAtArguments(run: () => Promise<void>): Promise<void> {
  await looking.run(true, run).catch((error: unknown) => {
    if (!(error instanceof ArgumentsAccepted)) throw error;
  });
}

/** The options of a benchmark, checked: each begins with them. For those who only look, it ends there. */
export function accepted<Options>(options: Options): Options {
  if (looking.getStore() !== undefined) throw new ArgumentsAccepted();
  return options;
}

/** The parser, which says of what is no number for those who only look: some options are checked only where they are used. */
function withLook(cli: Argv): Argv {
  const parse = cli.parseSync.bind(cli);
  cli.parseSync = () => {
    const parsed = parse();
    const wrong = Object.keys(parsed).find((name) => Number.isNaN(parsed[name]));
    if (looking.getStore() !== undefined && wrong !== undefined)
      throw new UsageError(`--${wrong} is not a number; give one`);
    return parsed;
  };
  return cli;
}
