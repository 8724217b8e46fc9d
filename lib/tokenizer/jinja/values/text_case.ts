/** Upper and lower case, and what characters are, as Python's `str` has them. Pure. */

/** White space as Python's regular expressions and `str` know it. */
export const SPACES = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** The first character in upper case, the others in lower case. */
export const capitalized = (text: string): string => {
  const [first = '', ...rest] = text;
  return titleCase(first) + rest.join('').toLowerCase();
};

/** Each run of letters begins in upper case. */
export const titled = (text: string): string =>
  text.replace(/\p{Cased}[\p{Cased}\p{Case_Ignorable}]*/gu, (run) => run.replace(/\p{Cased}+/gu, capitalized));

/** Of one character: `ß` becomes `Ss`. */
function titleCase(character: string): string {
  const [first = '', ...rest] = character.toUpperCase();
  return first + rest.join('').toLowerCase();
}

/** Upper case where it is lower, and the other way round. */
export const swappedCase = (text: string): string =>
  Array.from(text)
    .map((unit) => (/\p{Lowercase}/u.test(unit) ? unit.toUpperCase() : unit.toLowerCase()))
    .join('');

const all = (pattern: string): ((text: string) => boolean) => {
  const whole = new RegExp(`^(?:${pattern})+$`, 'u');
  return (text) => whole.test(text);
};

const isInCase =
  (own: RegExp, other: RegExp): ((text: string) => boolean) =>
  (text) =>
    own.test(text) && !other.test(text);

const TITLE_RUN = /\p{Cased}+/gu;

/** Methods that ask something of a text. */
export const TEXT_TESTS: Readonly<Record<string, (text: string) => boolean>> = {
  isalpha: all('\\p{L}'),
  isdigit: all('[\\p{Nd}\\xb2\\xb3\\xb9\\u2070-\\u2089]'),
  isdecimal: all('\\p{Nd}'),
  isnumeric: all('\\p{N}'),
  isalnum: all('[\\p{L}\\p{N}]'),
  isspace: all(`[${SPACES}]`),
  isidentifier: (text) => /^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u.test(text),
  isprintable: (text) => !/[^ \P{Z}]|\p{C}/u.test(text),
  isascii: (text) => /^\p{ASCII}*$/u.test(text),
  islower: isInCase(/\p{Lowercase}/u, /\p{Uppercase}|\p{Lt}/u),
  isupper: isInCase(/\p{Uppercase}/u, /\p{Lowercase}|\p{Lt}/u),
  istitle: (text) => {
    const runs = text.match(TITLE_RUN);
    return runs?.every((run) => titled(run) === run) ?? false;
  },
};
