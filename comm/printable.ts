/** Text from elsewhere (a peer, a file, a model) as a message may show it. */

/** What a terminal obeys or what hides what stands there: control characters, line separators, marks that turn the direction of text. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Characters that a message gives to one value. */
const MAX_VALUE_CHARS = 160;

/** One line without anything that a terminal would obey; what is longer than `maxChars` is cut, and its length told. */
export function printable(text: string, maxChars = MAX_VALUE_CHARS): string {
  const cut = text.length <= maxChars ? text : `${text.slice(0, maxChars)}… (${text.length} characters)`;
  return cut.replace(UNPRINTABLE, (character) => escaped(character));
}

/** Like {@link printable}, but new lines stay: for whole messages. */
export const printableLines = (text: string, maxChars: number): string =>
  text
    .slice(0, maxChars)
    .split('\n')
    .map((line) => printable(line, maxChars))
    .join('\n');

/** A value as a message shows it: JSON, but NaN and infinities by their names, and not long. */
export function shown(value: unknown, maxChars = MAX_VALUE_CHARS): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  try {
    return printable(JSON.stringify(value), maxChars);
  } catch {
    return 'a value that is nested too deeply'; // or holds itself
  }
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
