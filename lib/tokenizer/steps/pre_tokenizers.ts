/** How tokenizer.json cuts a text into words, of which each becomes tokens alone; as Hugging Face's tokenizers library does it. */
import * as z from 'zod';
import { spellBytes } from './byte_level.js';
import { OWN_WORD, patternSchema } from './patterns.js';
import { SPLIT_BEHAVIORS, splitText, type Pieces, type Split, type SplitBehavior } from './splits.js';

/** One step: what becomes of each piece of a text. */
export type CutStep =
  | { readonly kind: 'cut'; readonly cut: (text: string, isFirst: boolean) => Pieces }
  /** Another spelling of each piece, which no later step sees otherwise. */
  | { readonly kind: 'spell'; readonly spell: (text: string) => string };

/** Words of a text, by the steps of {@link preTokenizerSchema} in order. @param isFirst whether the text is the beginning of the whole one */
export function cutWords(text: string, steps: readonly CutStep[], isFirst: boolean): readonly string[] {
  let pieces: Pieces = { texts: [text], isFirst };
  for (const step of steps) {
    if (step.kind === 'spell') pieces = { ...pieces, texts: pieces.texts.map(step.spell) };
    else if (pieces.texts.length === 1) pieces = step.cut(pieces.texts[0]!, pieces.isFirst);
    else pieces = cutEach(pieces, step.cut);
  }
  return pieces.texts;
}

function cutEach({ texts, isFirst }: Pieces, cut: (text: string, isFirst: boolean) => Pieces): Pieces {
  const all: string[] = [];
  let isStillFirst = isFirst;
  texts.forEach((text, i) => {
    const cutText = cut(text, isFirst && i === 0);
    if (i === 0) isStillFirst = cutText.isFirst;
    for (const piece of cutText.texts) all.push(piece);
  });
  return { texts: all, isFirst: isStillFirst };
}

/** GPT-2's words. */
const BYTE_LEVEL_WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
const WORDS_OR_OTHERS = new RegExp(`[${OWN_WORD}]+|[^${OWN_WORD}\\p{White_Space}]+`, 'gu');
const WHITE_SPACE = /\p{White_Space}/gu;
/** ASCII's counts whole, symbols too. */
const PUNCTUATION = /[!-/:-@[-`{-~]|\p{P}/gu;
const NUMERIC = /\p{N}/gu;

/** Cuts each piece at a pattern. */
export const splitStep = (pattern: RegExp, behavior: SplitBehavior, invert = false): CutStep => {
  const split: Split = { pattern, behavior, invert };
  return {
    kind: 'cut',
    cut: (text, isFirst) => {
      const pieces = splitText(text, split);
      return { texts: pieces.texts, isFirst: isFirst && pieces.isFirst };
    },
  };
};

const prefixStep = (prefix: string, isPrefixed: (text: string, isFirst: boolean) => boolean): CutStep => ({
  kind: 'cut',
  cut: (text, isFirst) => ({ texts: [isPrefixed(text, isFirst) ? prefix + text : text], isFirst }),
});

interface MetaspaceOptions {
  readonly replacement: string;
  readonly prepend_scheme: 'always' | 'first' | 'never';
  readonly split: boolean;
}

/** A mark for each space, and one in front. */
function metaspace({ replacement, prepend_scheme: scheme, split }: MetaspaceOptions): CutStep[] {
  const isPrefixed = (text: string, isFirst: boolean): boolean =>
    !text.startsWith(replacement) && (scheme === 'always' || (scheme === 'first' && isFirst));
  const steps: CutStep[] = [
    { kind: 'spell', spell: (text) => text.replaceAll(' ', replacement) },
    prefixStep(replacement, isPrefixed),
  ];
  return split ? [...steps, splitStep(literally(replacement), 'MergedWithNext')] : steps;
}

const literally = (character: string): RegExp => patternSchema.parse({ String: character });

/** Pieces of so many characters. */
const ofLength = (length: number): CutStep => splitStep(new RegExp(`[\\s\\S]{1,${length}}`, 'gu'), 'Isolated');

const character = z.string().refine((text) => Array.from(text).length === 1, 'one character is wanted');

/** `pre_tokenizer` of tokenizer.json as steps. */
export const preTokenizerSchema: z.ZodType<readonly CutStep[]> = z.lazy(() =>
  z.discriminatedUnion('type', [
    z
      .object({ type: z.literal('Sequence'), pretokenizers: z.array(preTokenizerSchema) })
      .transform(({ pretokenizers }) => pretokenizers.flat()),
    z
      .object({
        type: z.literal('ByteLevel'),
        add_prefix_space: z.boolean().default(true),
        use_regex: z.boolean().default(true),
      })
      .transform(({ add_prefix_space: isPrefixed, use_regex: isCut }): CutStep[] => [
        ...(isPrefixed ? [prefixStep(' ', (text) => !text.startsWith(' '))] : []),
        ...(isCut ? [splitStep(BYTE_LEVEL_WORDS, 'Isolated')] : []),
        { kind: 'spell', spell: spellBytes },
      ]),
    z
      .object({
        type: z.literal('Split'),
        pattern: patternSchema,
        behavior: z.enum(SPLIT_BEHAVIORS),
        invert: z.boolean(),
      })
      .transform(({ pattern, behavior, invert }) => [splitStep(pattern, behavior, invert)]),
    z
      .object({
        type: z.literal('Metaspace'),
        replacement: character.default('▁'),
        prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
        add_prefix_space: z.boolean().optional(),
        split: z.boolean().default(true),
      })
      .transform(({ add_prefix_space: isPrefixed = true, prepend_scheme: scheme, ...options }) =>
        metaspace({ ...options, prepend_scheme: scheme ?? (isPrefixed ? 'always' : 'never') }),
      ),
    z.object({ type: z.literal('Whitespace') }).transform(() => [splitStep(WORDS_OR_OTHERS, 'Removed', true)]),
    z.object({ type: z.literal('WhitespaceSplit') }).transform(() => [splitStep(WHITE_SPACE, 'Removed')]),
    z
      .object({ type: z.literal('BertPreTokenizer') })
      .transform(() => [splitStep(WHITE_SPACE, 'Removed'), splitStep(PUNCTUATION, 'Isolated')]),
    z
      .object({ type: z.literal('Punctuation'), behavior: z.enum(SPLIT_BEHAVIORS).default('Isolated') })
      .transform(({ behavior }) => [splitStep(PUNCTUATION, behavior)]),
    z
      .object({ type: z.literal('Digits'), individual_digits: z.boolean().default(false) })
      .transform(({ individual_digits: isEach }) => [splitStep(NUMERIC, isEach ? 'Isolated' : 'Contiguous')]),
    z
      .object({ type: z.literal('CharDelimiterSplit'), delimiter: character })
      .transform(({ delimiter }) => [splitStep(literally(delimiter), 'Removed')]),
    z
      .object({ type: z.literal('FixedLength'), length: z.int().min(1).max(0xffff) })
      .transform(({ length }) => [ofLength(length)]),
  ]),
);
