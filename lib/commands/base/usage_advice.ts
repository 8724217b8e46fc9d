/** What the parser says about a mistake in a command line, with the option that was probably meant. */
import { closest } from 'fastest-levenshtein';
import { isNear } from '../../config/layers.js';

export function adviceOn(message: string, knownOptions: readonly string[]): string {
  const command = /^Did you mean (.+)\?$/.exec(message)?.[1];
  if (command !== undefined) return `there is no such command; did you mean ${command}?`;
  const unknown = /^Unknown arguments?: (.+)$/.exec(message)?.[1];
  if (unknown === undefined) return message;
  const [first] = unknown.split(', ') as [string];
  const nearest = closest(first, [...knownOptions]);
  const meant = isNear(first, nearest) ? `did you mean --${nearest}?` : 'see --help';
  return `${message}; ${meant}`;
}
