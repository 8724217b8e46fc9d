/** What the options of all benchmarks have in common. */
import yargs, { type Argv } from 'yargs';
import { UsageError } from '../../lib/commands/base/context.js';
import { adviceOn } from '../../lib/commands/base/usage_advice.js';

/** A parser of a benchmark's own options, which refuses what it doesn't know. */
export function benchParser(name: string, args: readonly string[], describe: string): Argv {
  const cli = yargs([...args])
    .scriptName(`expertwire bench ${name}`)
    .usage(`$0\n\n${describe}`)
    .parserConfiguration({ 'duplicate-arguments-array': false })
    .strict()
    .fail((message, error) => {
      if (error instanceof Error) throw error; // the types promise an error, yargs passes undefined for its own checks
      throw new UsageError(adviceOn(message, Object.keys(optionsOf(cli))));
    });
  return cli;
}

/** What yargs knows of the options; its types leave this out. */
const optionsOf = (cli: Argv): object => (cli as unknown as { getOptions(): { key: object } }).getOptions().key;
