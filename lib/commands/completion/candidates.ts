/** What may come next in a line of `expertwire`: pure but for what it is told of commands. Why: docs/decisions/start.md#a-shell-asks-what-comes-next */
import type { ToldOption } from '../base/yargs_internals.js';

/** A word that may come next, and what it is. */
export interface Candidate {
  readonly word: string;
  readonly describe: string;
}

/** What a command takes. */
export interface KnownLine {
  /** Its values without names, in their order, as help has them: '<action>'. */
  readonly positionals: readonly string[];
  readonly options: readonly ToldOption[];
}

/** What is known of commands. */
export interface KnownCommands {
  readonly commands: readonly Candidate[];
  readonly benchmarks: readonly Candidate[];
  /** Null: there is none of this name. */
  readonly command: (name: string) => Promise<KnownLine | null>;
  readonly benchmark: (name: string) => Promise<KnownLine | null>;
  /** Keys of the configuration, 'comm.micro_batches', and the values of those that have few. */
  readonly keys: () => ReadonlyMap<string, readonly string[]>;
}

/**
 * Of the line's words behind `expertwire`, the last of which is being typed ('' where a new one begins). None: a file's name, or whatever the user has in mind.
 */
export async function candidates(words: readonly string[], known: KnownCommands): Promise<Candidate[]> {
  const current = words.at(-1) ?? '';
  return (await whole(words, known)).filter(({ word }) => word.startsWith(current));
}

async function whole(words: readonly string[], known: KnownCommands): Promise<readonly Candidate[]> {
  const [command = '', ...rest] = words;
  if (words.length <= 1) return [...known.commands, ...(command.startsWith('-') ? TOP_OPTIONS : [])];
  if (command === 'help') return whole(rest, known);
  const dashes = rest.indexOf('--');
  if (command === 'launch' && dashes >= 0 && dashes < rest.length - 1) return whole(rest.slice(dashes + 1), known);
  if (command !== 'bench') return ofLine(rest, await known.command(command), known);
  const [benchmark, ...others] = rest;
  return others.length === 0 ? known.benchmarks : ofLine(others, await known.benchmark(benchmark!), known);
}

const TOP_OPTIONS: readonly Candidate[] = [
  { word: '--help', describe: 'the commands' },
  { word: '--version', describe: 'the version of expertwire' },
];

function ofLine(words: readonly string[], line: KnownLine | null, known: KnownCommands): readonly Candidate[] {
  if (line === null) return [];
  const current = words.at(-1)!;
  const before = words.slice(0, -1);
  const [name, value] = current.startsWith('--') && current.includes('=') ? [current.split('=', 1)[0]!, current] : [];
  if (name !== undefined && value !== undefined) {
    const own = valuesOf(optionOf(name, line), current.slice(name.length + 1), known);
    return own.map(({ word, describe }) => ({ word: `${name}=${word}`, describe }));
  }
  const last = optionOf(before.at(-1) ?? '', line);
  if (last !== undefined && last.type !== 'boolean') return valuesOf(last, current, known);
  if (current.startsWith('-')) return optionsLeft(before, line);
  return positionalValues(before, line);
}

const optionOf = (word: string, { options }: KnownLine): ToldOption | undefined =>
  word.startsWith('--') ? options.find(({ name }) => name === word.slice(2)) : undefined;

/** `--set` names any key, and its values where it has few. */
function valuesOf(option: ToldOption | undefined, current: string, { keys }: KnownCommands): readonly Candidate[] {
  if (option?.name === 'set') {
    const [key] = current.split('=', 1) as [string];
    const values = keys().get(key) ?? [];
    if (current.includes('=')) return values.map((value) => ({ word: `${key}=${value}`, describe: '' }));
    return [...keys().keys()].map((each) => ({ word: `${each}=`, describe: '' }));
  }
  return (option?.choices ?? []).map((word) => ({ word, describe: '' }));
}

/** Those that weren't given, or may be again. */
const optionsLeft = (before: readonly string[], { options, positionals }: KnownLine): Candidate[] =>
  options
    .filter(
      ({ name, isList }) => name.length > 1 && !isPositional(name, positionals) && (isList || !isGiven(name, before)),
    )
    .map(({ name, describe }) => ({ word: `--${name}`, describe }));

const isPositional = (name: string, positionals: readonly string[]): boolean =>
  positionals.some((each) => each.replaceAll(/[<>[\].]/g, '') === name);

const isGiven = (name: string, before: readonly string[]): boolean =>
  before.some((word) => word === `--${name}` || word.startsWith(`--${name}=`));

/** Of the value without a name whose turn it is. */
function positionalValues(before: readonly string[], line: KnownLine): Candidate[] {
  const isValue = (i: number): boolean => {
    const option = optionOf(before[i - 1] ?? '', line);
    return option !== undefined && option.type !== 'boolean';
  };
  const numGiven = before.filter((word, i) => !word.startsWith('-') && !isValue(i)).length;
  const name = line.positionals[numGiven]?.replaceAll(/[<>[\].]/g, '');
  const choices = line.options.find((option) => option.name === name)?.choices ?? [];
  return choices.map((word) => ({ word, describe: '' }));
}
