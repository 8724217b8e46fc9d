/** What tokenizer.json looks for in texts: a text as it stands, or a regular expression of Oniguruma. */
import { toRegExp } from 'oniguruma-to-es';
import * as z from 'zod';

/** A text or a regular expression, as a global RegExp of JavaScript that finds the same. */
export const patternSchema = z
  .union([z.object({ String: z.string() }), z.object({ Regex: z.string() })])
  .transform((pattern, context) => {
    if ('String' in pattern) return new RegExp(literalPattern(pattern.String), 'gu');
    try {
      return toRegExp(pattern.Regex, { global: true });
    } catch (cause) {
      context.addIssue({ code: 'custom', message: `the pattern isn't supported (${(cause as Error).message})` });
      return z.NEVER;
    }
  });

/** The parsed type of {@link patternSchema}. */
export type Pattern = z.output<typeof patternSchema>;

/** Everything that has a meaning in a pattern with its backslash. */
const literalPattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

/** Where a text matches and where it doesn't, in order; none is empty but in an empty text. */
export interface Span {
  readonly start: number;
  readonly end: number;
  readonly isMatch: boolean;
}

/** The spans of a text by a global pattern, as the reference library finds them. */
export function spansOf(text: string, pattern: RegExp): Span[] {
  const spans: Span[] = [];
  let done = 0;
  pattern.lastIndex = 0;
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    const { index: start } = found;
    const end = start + found[0].length;
    if (end === start) {
      pattern.lastIndex += text.codePointAt(start)! > 0xffff ? 2 : 1;
      continue;
    }
    if (start > done) spans.push({ start: done, end: start, isMatch: false });
    spans.push({ start, end, isMatch: true });
    done = end;
  }
  if (done < text.length) spans.push({ start: done, end: text.length, isMatch: false });
  return spans;
}
