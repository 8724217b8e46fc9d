/** What yargs does, knows and doesn't tell its types of. */
import type { Argv } from 'yargs';

/** What it knows of the command that is being parsed. */
export interface KnownOptions {
  readonly key: object;
  readonly array: readonly string[];
  readonly number: readonly string[];
  readonly boolean: readonly string[];
  readonly hiddenOptions: readonly string[];
  readonly choices: Readonly<Record<string, readonly (string | number)[] | undefined>>;
}

interface Usage {
  cacheHelpMessage: () => void;
  help: () => string;
  getDescriptions(): Readonly<Record<string, string | undefined>>;
}

interface Internals {
  getOptions(): KnownOptions;
  getInternalMethods(): { getUsageInstance(): Usage };
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

/** Of a command that is asked for help, this stands below its options, as it is: yargs breaks lines, and a broken example can't be copied. */
export function endHelpWith(cli: Argv, text: string): void {
  const usage = internalsOf(cli).getInternalMethods().getUsageInstance();
  const { help } = usage;
  if (text !== '') usage.help = () => `${help()}\n\n${text}`;
}

/** An option, as a shell that completes it wants to know it. */
export interface ToldOption {
  /** Without dashes before it. */
  readonly name: string;
  readonly describe: string;
  readonly type: 'boolean' | 'number' | 'string';
  /** It may be given again. */
  readonly isList: boolean;
  /** Values that it may have; empty: others too. */
  readonly choices: readonly string[];
}

/** The options of a parser, and its values without names, but for those that help hides. */
export function toldOptions(cli: Argv): ToldOption[] {
  const { array, boolean, number, choices, hiddenOptions } = optionsOf(cli);
  const descriptions = internalsOf(cli).getInternalMethods().getUsageInstance().getDescriptions();
  const typeOf = (name: string): ToldOption['type'] =>
    boolean.includes(name) ? 'boolean' : number.includes(name) ? 'number' : 'string';
  return optionNames(cli)
    .filter((name) => !hiddenOptions.includes(name))
    .map((name) => ({
      ...{ name, describe: (descriptions[name] ?? '').replace(/^__yargsString__:/, ''), type: typeOf(name) },
      ...{ isList: array.includes(name), choices: (choices[name] ?? []).map(String) },
    }));
}

/** What a benchmark throws instead of running: it was asked for its options. */
export class OptionsAsked extends Error {
  constructor(readonly options: readonly ToldOption[]) {
    super('a benchmark was asked for its options');
    this.name = 'OptionsAsked';
  }
}

/** Asks a benchmark for them. */
export const ASK_OPTIONS = '--ask-options';
