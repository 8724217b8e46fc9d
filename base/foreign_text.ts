/** Text from elsewhere (a peer, a file, a model) as a message may show it. */

/** What a terminal obeys or what hides what stands there: control characters, line separators, marks that turn the direction of text. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Characters that a message gives to one value. */
const MAX_VALUE_CHARS = 160;
/** And to the reason that another error gives. */
const MAX_CAUSE_CHARS = 400;

/** One line without anything that a terminal would obey; what is longer than `maxChars` is cut, and its length told. */
export function printable(text: string, maxChars = MAX_VALUE_CHARS): string {
  const cut = text.length <= maxChars ? text : `${text.slice(0, maxChars)}… (${text.length} characters)`;
  return cut.replace(UNPRINTABLE, escaped);
}

/** Like {@link printable}, but new lines stay: for whole messages. */
export const printableLines = (text: string, maxChars: number): string =>
  text
    .slice(0, maxChars)
    .split('\n')
    .map((line) => printable(line, maxChars))
    .join('\n');

/** Why something failed, in the words of whoever threw it, which may quote what they read. */
export const causeText = (cause: unknown): string =>
  printable(cause instanceof Error ? cause.message : String(cause), MAX_CAUSE_CHARS);

/** A text as logs may have it: who one is, and a password, is left out of the addresses in it. */
export const withoutUsers = (text: string): string =>
  text.replace(/([a-z][a-z0-9+.-]*:\/\/)(?:[^\s"\\]|\\.)*@/gi, '$1…@');

/** A value as a message shows it: JSON, but NaN and infinities by their names, addresses without users, and not long. */
export function shown(value: unknown, maxChars = MAX_VALUE_CHARS): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  const plain = (_key: string, each: unknown): unknown => (typeof each === 'bigint' ? `${each}n` : each);
  try {
    return printable(withoutUsers(JSON.stringify(value, plain)), maxChars);
  } catch {
    return 'a value that is nested too deeply'; // or holds itself
  }
}

/** What a text of JSON says; undefined where it is none. */
export function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A UTF-16 unit as \\uXXXX, which JSON and JavaScript read. */
export const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/**
 * The text of a file or message; a byte order mark at its beginning is no part of it.
 * @throws Error where it isn't UTF-8, with the place
 */
export function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`line ${firstWrongLine(bytes)} is not UTF-8; save it as UTF-8`);
  }
}

function firstWrongLine(bytes: Uint8Array): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for (let line = 1, from = 0; ; line++) {
    const end = bytes.indexOf(0x0a, from);
    try {
      decoder.decode(bytes.subarray(from, end < 0 ? bytes.length : end));
    } catch {
      return line;
    }
    if (end < 0) return line;
    from = end + 1;
  }
}
