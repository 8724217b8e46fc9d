/** Which of some names was probably meant. Pure. */
import { distance } from 'fastest-levenshtein';

/** A name that differs in a letter at most, in their order, or in that it goes on. */
export const closeName = (name: string, names: readonly string[]): string | undefined =>
  names.find((other) => farness(name, other) <= 1);

/**
 * The nearest name: one with the same letters, one that begins or goes on like it, or one in which a third of the letters differ at most. Undefined where none is
 * near: a guess from farther away would mislead.
 */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const tried = names.map((other) => ({ other, far: farness(name, other) })).filter(({ far }) => far < Infinity);
  return tried.toSorted((a, b) => a.far - b.far)[0]?.other;
}

/** One that has all words of a name, in any order, and more: max-new-tokens for max-tokens. The fewest more come first. */
export function withMoreWords(name: string, names: readonly string[]): string | undefined {
  const words = wordsOf(name);
  if (words.length < 2) return undefined;
  const longer = names.filter((other) => words.every((word) => wordsOf(other).includes(word)));
  return longer.toSorted((a, b) => a.length - b.length)[0];
}

/** A name without capitals and with dashes: of max_new_tokens, maxNewTokens and max-new-tokens the last. */
export const dashed = (name: string): string =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replaceAll('_', '-')
    .toLowerCase();

const wordsOf = (name: string): string[] => name.split('-');
const lettersOf = (name: string): string => Array.from(name).sort().join('');

/** Letters that a name must have before those behind it count for nothing. */
const MIN_PREFIX = 3;

function farness(name: string, other: string): number {
  const [short, long] = name.length < other.length ? [name, other] : [other, name];
  if (short.length >= MIN_PREFIX && long.startsWith(short)) return 1;
  const far = distance(name, other);
  if (far <= 2 && lettersOf(name) === lettersOf(other)) return Math.min(1, far); // two letters changed places
  return far <= Math.max(1, Math.floor(name.length / 3)) ? far : Infinity;
}
