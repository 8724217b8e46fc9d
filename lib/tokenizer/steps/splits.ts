/** What becomes of the matches where a text is split, by the names of tokenizer.json. Pure. */
import { spansOf, type Span } from './patterns.js';

/** Whether matches stand alone, go away, or belong to a neighbour. */
export const SPLIT_BEHAVIORS = ['Isolated', 'Removed', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
/** One of {@link SPLIT_BEHAVIORS}. */
export type SplitBehavior = (typeof SPLIT_BEHAVIORS)[number];

/** Pieces of a text, with where it stood. */
export interface Pieces {
  readonly texts: readonly string[];
  /** Whether the first of them is the beginning of the whole text. */
  readonly isFirst: boolean;
}

/** How a text is split. */
export interface Split {
  readonly pattern: RegExp;
  readonly behavior: SplitBehavior;
  /** Whether what the pattern doesn't match counts as the match. */
  readonly invert: boolean;
}

/** The pieces of a text; none is empty. */
export function splitText(text: string, split: Split): Pieces {
  if (split.behavior === 'Isolated') return { texts: isolated(text, split.pattern), isFirst: true };
  const spans = spansOf(text, split.pattern);
  const kept = JOINED[split.behavior](
    split.invert ? spans.map((span) => ({ ...span, isMatch: !span.isMatch })) : spans,
  );
  return { texts: textsOf(text, kept), isFirst: kept[0]?.start === 0 };
}

/** Nearly all patterns of large vocabularies match every character: then the matches are the pieces. */
function isolated(text: string, pattern: RegExp): readonly string[] {
  const matches: readonly string[] = text.match(pattern) ?? [];
  let length = 0;
  for (const match of matches) length += match.length;
  if (length === text.length && !matches.includes('')) return matches;
  return textsOf(text, spansOf(text, pattern));
}

const textsOf = (text: string, spans: readonly Span[]): string[] =>
  spans.flatMap(({ start, end }) => (end > start ? [text.slice(start, end)] : []));

const JOINED: Readonly<Record<Exclude<SplitBehavior, 'Isolated'>, (spans: readonly Span[]) => readonly Span[]>> = {
  Removed: (spans) => spans.filter(({ isMatch }) => !isMatch),
  Contiguous: (spans) => joinedWhere(spans, (before, span) => before.isMatch === span.isMatch),
  MergedWithPrevious: (spans) => joinedWhere(spans, (before, span) => span.isMatch && !before.isMatch),
  MergedWithNext: (spans) => joinedWhere(spans, (before, span) => before.isMatch && !span.isMatch),
};

/** Neighbours as one where a rule says so; the rule sees them as they were. */
function joinedWhere(spans: readonly Span[], isJoined: (before: Span, span: Span) => boolean): Span[] {
  const joined: Span[] = [];
  spans.forEach((span, i) => {
    const last = joined.at(-1);
    if (last !== undefined && isJoined(spans[i - 1]!, span)) joined[joined.length - 1] = { ...last, end: span.end };
    else joined.push(span);
  });
  return joined;
}
