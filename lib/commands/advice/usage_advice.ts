/** What the parser says about a mistake in a command line, in our words, and what was probably meant. Pure. */
import { adviceOnOption, type KnownCommand, type OtherCommands } from './option_advice.js';
import { dashed, nearestName } from './near_names.js';

/** A line that the parser refused. */
export interface RefusedLine {
  /** The parser's words. */
  readonly message: string;
  /** What was given, the command included. */
  readonly args: readonly string[];
  readonly own: KnownCommand;
  /** Default: none is known. */
  readonly others?: OtherCommands;
}

/** So many mistakes are told at once. */
const MAX_TOLD = 3;

/** One line. */
export function adviceOn({ message, args, own, others = new Map() }: RefusedLine): string {
  const value = /^Not enough arguments following: (.+)$/.exec(message)?.[1];
  if (value !== undefined) return `--${value} needs a value behind it`;
  if (own.name === 'launch' && isWord(args[1]) && !args.includes('--')) return adviceOnWord(args[1]!, own);
  const unknown = unknownOptions(args, own);
  if (unknown.length > 0) {
    const told = unknown.slice(0, MAX_TOLD).map((given) => adviceOnOption(given, own, others));
    return [...(own.name === '' ? ['give a command first'] : []), ...told].join('; ');
  }
  const words = /^Unknown (?:arguments?|commands?): (.+)$/s.exec(message)?.[1];
  if (words !== undefined) return adviceOnWord(words.split(', ')[0]!, own);
  return adviceOnChoice(message, own) ?? adviceOnMissing(message, own) ?? message;
}

const isWord = (arg: string | undefined): boolean => /^[a-z-]+$/.test(arg ?? '') && !arg!.startsWith('-');

/** Options of a line that the command doesn't have, as they are written. What follows two dashes is another command's. */
function unknownOptions(args: readonly string[], { options }: KnownCommand): string[] {
  const end = args.indexOf('--');
  const given = args.slice(0, end < 0 ? args.length : end).map((arg) => arg.split('=', 1)[0]!);
  return [...new Set(given)].filter((arg) => {
    if (!/^-+[a-zA-Z]/.test(arg)) return false; // a number below zero is a value
    const name = dashed(arg.replace(/^-+/, ''));
    const isKnown = options.includes(name) || options.includes(name.replace(/^no-/, ''));
    return !isKnown || (!arg.startsWith('--') && name.length > 1) || (arg.includes('_') && name.length > 1);
  });
}

/** A word that belongs to no option. */
function adviceOnWord(word: string, { name, options, positionals = '' }: KnownCommand): string {
  const lead = `'${word}' belongs to no option`;
  // launch.sh takes a YAML file there: a bare word is a command.
  if (name === 'launch') return `${lead}; a command comes after two dashes: ./launch.sh -- ${word} …`;
  if (options.includes('model') && word.includes('/')) return `${lead}; did you mean --model ${word}?`;
  if (options.includes('prompt')) return `${lead}; a text of several words stands in quotes: --prompt 'Call me'`;
  return `${lead}; give expertwire ${[name, positionals].filter((part) => part !== '').join(' ')} and options`;
}

/** A value that is none of an option's. */
function adviceOnChoice(message: string, { positionals = '' }: KnownCommand): string | undefined {
  const found = /^Invalid values:\s+Argument: (\S+), Given: (.*), Choices: (.*)$/s.exec(message);
  if (found === null) return undefined;
  const [, name, given, list] = found as unknown as [string, string, string, string];
  const choices = list.split('\n')[0]!.replaceAll('"', '').split(', ');
  const value = given.replace(/^"(.*)"$/s, '$1');
  const nearest = nearestName(dashed(value), choices.map(dashed));
  const meant = nearest === undefined ? undefined : choices.find((choice) => dashed(choice) === nearest);
  const what = positionals.includes(`<${name}>`) ? `<${name}>` : `--${name}`;
  return `${what} is '${value}'${meant === undefined ? '' : ` (did you mean ${meant}?)`}; allowed is ${choices.join(', ')}`;
}

function adviceOnMissing(message: string, { name, positionals = '' }: KnownCommand): string | undefined {
  const missing = /^Missing required arguments?: (.+)$/.exec(message)?.[1];
  if (missing !== undefined) {
    return `${missing
      .split(', ')
      .map((each) => `--${each}`)
      .join(' and ')} is missing; expertwire ${name} --help says what it is`;
  }
  if (!message.startsWith('Not enough non-option arguments')) return undefined;
  return `something is missing; give expertwire ${name} ${positionals}`;
}
