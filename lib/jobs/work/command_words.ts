/** A command of a job, word by word: what it is, before anybody knows whose folders its paths lead to. Pure. */
import { printable } from '../../../base/foreign_text.js';
import { closest } from 'fastest-levenshtein';
import { isNear } from '../../config/layers.js';
import { JobError } from '../base/errors.js';
import { COMMAND_LINES, type CommandLine, type ValueKind } from './command_lines.js';

/** A word of a command. */
export interface CommandWord {
  /** Of an option, with dashes; null: it stands for itself. */
  readonly option: string | null;
  /** Null: a flag. */
  readonly value: string | null;
  readonly kind: ValueKind;
}

/** A command as it was understood. */
export interface CommandWords {
  readonly name: string;
  readonly words: readonly CommandWord[];
}

/**
 * Understands arguments as the command itself would.
 * @param args 'generate', '--prompt', 'It was'
 * @throws JobError NOT_ALLOWED for whatever isn't listed
 */
export function commandWords([name = '', ...rest]: readonly string[]): CommandWords {
  const line = Object.hasOwn(COMMAND_LINES, name) ? COMMAND_LINES[name]! : null;
  if (line === null) throw noCommand(name);
  const words: CommandWord[] = [];
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]!;
    if (!word.startsWith('-')) {
      words.push(positional(name, line, words, word));
      continue;
    }
    const equals = word.indexOf('=');
    const option = equals < 0 ? word : word.slice(0, equals);
    const kind = kindOf(name, line, option);
    if (kind === 'flag')
      words.push({ option, value: flagValue(name, option, equals < 0 ? null : word.slice(equals + 1)), kind });
    else if (equals >= 0) words.push({ option, value: word.slice(equals + 1), kind });
    else if (i + 1 < rest.length) words.push({ option, value: rest[++i]!, kind });
    else throw refusal(name, `${option} has no value; give one`);
  }
  const numGiven = words.filter(({ option }) => option === null).length;
  if (numGiven < line.positionals.length - line.numOptional)
    throw refusal(name, `it has ${numGiven} arguments without a name, and takes ${line.positionals.length}; give them`);
  return { name, words };
}

/** As arguments that nobody can read in another way: each option with its value in one. */
export const argumentsOf = ({ name, words }: CommandWords): readonly string[] => [
  name,
  ...words.map(({ option, value }) => (option === null ? value! : value === null ? option : `${option}=${value}`)),
];

function noCommand(name: string): JobError {
  const names = Object.keys(COMMAND_LINES);
  const near = closest(name, names);
  const advice = isNear(name, near) ? `did you mean "${near}"?` : `give one of ${names.join(', ')}`;
  return new JobError('NOT_ALLOWED', `"${printable(name)}" is no command that jobs run; ${advice}`);
}

function positional(
  name: string,
  { positionals }: CommandLine,
  before: readonly CommandWord[],
  value: string,
): CommandWord {
  const kind = positionals[before.filter(({ option }) => option === null).length];
  if (kind === undefined)
    throw refusal(name, `"${printable(value)}" is one argument too many; remove it, or put the option before it`);
  return { option: null, value, kind };
}

function kindOf(name: string, { options }: CommandLine, option: string): ValueKind {
  const own = option.slice(2);
  if (option.startsWith('--') && Object.hasOwn(options, own)) return options[own]!;
  const near = closest(own, Object.keys(options));
  const advice =
    own !== '' && isNear(own, near)
      ? `did you mean --${near}?`
      : `jobs may give --${Object.keys(options).join(', --')}`;
  throw refusal(name, `${printable(option)} is no option that jobs may give; ${advice}`);
}

/** As yargs reads it. */
function flagValue(name: string, option: string, value: string | null): string | null {
  if (value === null || value === 'true' || value === 'false') return value;
  throw refusal(name, `${option} is ${printable(value)}; give it alone, or =false`);
}

const refusal = (name: string, text: string): JobError => new JobError('NOT_ALLOWED', `${name}: ${text}`);
