/** What the options of all benchmarks have in common. */
import yargs, { type Argv } from 'yargs';
import { UsageError } from '../../lib/commands/base/context.js';
import { adviceOn } from '../../lib/commands/advice/usage_advice.js';
import { keepLast } from '../../lib/commands/base/repeated_options.js';
import { optionNames } from '../../lib/commands/base/yargs_internals.js';

/** A parser of a benchmark's own options, which refuses what it doesn't know. */
export function benchParser(name: string, args: readonly string[], describe: string): Argv {
  const cli: Argv = yargs([...args])
    .scriptName(`expertwire bench ${name}`)
    .usage(`$0\n\n${describe}`)
    .strict()
    .middleware((parsed) => keepLast(parsed, cli), true)
    .fail((message, error) => {
      if (error instanceof Error) throw error; // the types promise an error, yargs passes undefined for its own checks
      throw new UsageError(adviceOn({ message, args, own: { name: `bench ${name}`, options: optionNames(cli) } }));
    });
  return cli;
}
