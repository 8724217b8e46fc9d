/** `expertwire completion SHELL`: the script that completes lines there. */
import type { Argv } from 'yargs';
import type { CommandContext } from '../base/context.js';
import { completionScript, SHELLS, type Shell } from './scripts.js';

/** The options of `completion` as yargs parses them. */
export interface CompletionArgs {
  readonly shell: Shell;
}

/** Adds the shell of `completion` to a command line. */
export const completionOptions = <T>(yargs: Argv<T>): Argv<T & CompletionArgs> =>
  yargs.positional('shell', { choices: SHELLS, demandOption: true, describe: 'whose script is printed' });

/** Prints the script. */
export function completion({ shell }: CompletionArgs, { stdout }: CommandContext): Promise<void> {
  stdout.write(completionScript(shell));
  return Promise.resolve();
}
