/** What tokenizer.json looks for in texts: a text as it stands, or a regular expression of Oniguruma. */
import { toRegExp } from 'oniguruma-to-es';
import * as z from 'zod';

/** A text or a regular expression, as a global RegExp of JavaScript that finds the same. */
export const patternSchema = z
  .union([z.object({ String: z.string() }), z.object({ Regex: z.string() })])
  .transform((pattern, context) => {
    if ('String' in pattern) return new RegExp(literalPattern(pattern.String), 'gu');
    try {
      return toRegExp(asReference(pattern.Regex), { global: true });
    } catch (cause) {
      context.addIssue({ code: 'custom', message: `the pattern isn't supported (${(cause as Error).message})` });
      return z.NEVER;
    }
  });

/** Everything that has a meaning in a pattern with its backslash. */
export const literalPattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

/** Without a text's last characters of a kind. A pattern that ends with `$` would look at every run of them in the text. @param isOut of one UTF-16 unit */
export function trimmedEnd(text: string, isOut: RegExp): string {
  let end = text.length;
  while (end > 0 && isOut.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}`;
/** Within a class: what the reference library's own regular expressions, not Oniguruma's, call a word character. */
export const OWN_WORD = `${WORD}\\p{Join_Control}`;
/** Outside of a class Oniguruma counts these too. */
const LONE_WORD = `[${WORD}\u00b2\u00b3\u00b9\u00bc-\u00be]`;
const OUTSIDE: Readonly<Record<string, string>> = {
  '\\w': LONE_WORD,
  '\\W': LONE_WORD.replace('[', '[^'),
  '\\b': `(?:(?<=${LONE_WORD})(?!${LONE_WORD})|(?<!${LONE_WORD})(?=${LONE_WORD}))`,
  '\\B': `(?:(?<=${LONE_WORD})(?=${LONE_WORD})|(?<!${LONE_WORD})(?!${LONE_WORD}))`,
};
const INSIDE: Readonly<Record<string, string>> = { '\\w': WORD, '\\W': `[^${WORD}]` };

/** Letters of other cases than the two. */
const THIRD: Readonly<Record<string, string>> = { s: '\u017f', k: '\u212a' };
const bothCases = (letter: string): string =>
  `[${letter.toLowerCase()}${letter.toUpperCase()}${THIRD[letter.toLowerCase()] ?? ''}]`;

/**
 * What the reference library takes for a character of words, which isn't what the translation does; and groups of plain text whose case doesn't count tell both cases:
 * the translation may let their flag count for all of the pattern, where \p{L} then takes U+0345 for a letter.
 */
function asReference(pattern: string): string {
  let depth = 0;
  return pattern.replace(/\\[\s\S]|\[|\]|\(\?i:([ -'*-Z^-~]*)\)/g, (part, caseless?: string) => {
    const isInside = depth > 0;
    if (caseless !== undefined) return isInside ? part : `(?:${caseless.replace(/[a-z]/gi, bothCases)})`;
    if (part === '[') depth++;
    else if (part === ']') depth = Math.max(0, depth - 1);
    return (isInside ? INSIDE : OUTSIDE)[part] ?? part;
  });
}

/** Where a text matches and where it doesn't, in order; a match may be empty. */
export interface Span {
  readonly start: number;
  readonly end: number;
  readonly isMatch: boolean;
}

/** The spans of a text by a global pattern, as the reference library finds them: an empty match cuts, but not behind another match. */
export function spansOf(text: string, pattern: RegExp): Span[] {
  const spans: Span[] = [];
  let done = 0;
  let endOfMatch = -1;
  pattern.lastIndex = 0;
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    const { index: start } = found;
    const end = start + found[0].length;
    if (end === start) pattern.lastIndex += text.codePointAt(start)! > 0xffff ? 2 : 1;
    if (end === start && start === endOfMatch) continue;
    if (start > done) spans.push({ start: done, end: start, isMatch: false });
    spans.push({ start, end, isMatch: true });
    done = endOfMatch = end;
  }
  if (done < text.length) spans.push({ start: done, end: text.length, isMatch: false });
  return spans;
}
