/** What the parser says about a mistake in a command line, with the option that was probably meant. */
import { closest } from 'fastest-levenshtein';
import { isNear } from '../../config/layers.js';

/** @param args as they were given */
export function adviceOn(message: string, knownOptions: readonly string[], args: readonly string[] = []): string {
  const command = /^Did you mean (.+)\?$/.exec(message)?.[1];
  if (command !== undefined) return `there is no such command; did you mean ${command}?`;
  const unknown = /^Unknown arguments?: (.+)$/.exec(message)?.[1];
  if (unknown === undefined) return message;
  const [first] = unknown.split(', ') as [string];
  const nearest = closest(first, [...knownOptions]);
  // launch.sh takes a YAML file there: a bare word is a command.
  if (args[0] === 'launch' && /^[a-z-]+$/.test(args[1] ?? '') && !args.includes('--')) {
    return `${message}; a command comes after two dashes: ./launch.sh -- ${args[1]!} …`;
  }
  const meant = isNear(first, nearest) ? `did you mean --${nearest}?` : 'see --help';
  return `${message}; ${meant}`;
}
