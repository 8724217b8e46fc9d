/** What yargs does, knows and doesn't tell its types of. */
import type { Argv } from 'yargs';

/** What it knows of the command that is being parsed. */
export interface KnownOptions {
  readonly key: object;
  readonly array: readonly string[];
  readonly number: readonly string[];
}

interface Internals {
  getOptions(): KnownOptions;
  getInternalMethods(): { getUsageInstance(): { cacheHelpMessage: () => void } };
}

const internalsOf = (cli: Argv): Internals => cli as unknown as Internals;

/** Of the command that is being parsed. */
export const optionsOf = (cli: Argv): KnownOptions => internalsOf(cli).getOptions();

/** Names of the options of a parser, as help spells them. */
export const optionNames = (cli: Argv): string[] =>
  Object.keys(optionsOf(cli).key).filter((name) => !/[A-Z]/.test(name));

/** Of a command that runs, yargs lays the help out, for errors that print it. Ours don't, and it took a tenth of the time in which a rank starts. */
export function layNoHelpOut(cli: Argv): void {
  internalsOf(cli).getInternalMethods().getUsageInstance().cacheHelpMessage = () => undefined;
}
