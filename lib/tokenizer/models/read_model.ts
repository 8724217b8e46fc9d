/** `model` of tokenizer.json as what makes tokens of words. */
import * as z from 'zod';
import { Bpe } from './bpe.js';
import { ListedMerges } from './merges.js';
import { ByteTokens, type TokenModel } from './token_model.js';
import { Unigram } from './unigram.js';
import { WordLevel, WordPiece } from './word_piece.js';

/** Ids by spelling. A loop over the entries, as a schema for each takes a second for a large vocabulary. */
const vocabSchema = z
  .custom<Readonly<Record<string, number>>>((json) => typeof json === 'object' && json !== null && !Array.isArray(json), {
    error: 'an object of ids is wanted',
  })
  .transform((json, context) => {
    const vocab = new Map<string, number>();
    for (const token of Object.keys(json)) {
      const id = json[token]!;
      if (!isId(id)) {
        context.addIssue({ code: 'custom', message: 'an id must be a whole number of 0 or more', path: [token] });
        return z.NEVER;
      }
      vocab.set(token, id);
    }
    return vocab;
  });

/** Ids are places in lists: nobody has a thousand million tokens. */
const isId = (id: unknown): id is number => Number.isInteger(id) && (id as number) >= 0 && (id as number) < 2 ** 30;

/** Texts with a space between both parts, or pairs. They are checked as they are looked up: a schema for each takes too long. */
const mergesSchema = z.custom<readonly unknown[]>(Array.isArray, {
  error: 'a list is wanted',
});

interface BpeJson {
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: readonly unknown[];
  readonly unk_token?: string | null | undefined;
  readonly continuing_subword_prefix?: string | null | undefined;
  readonly end_of_word_suffix?: string | null | undefined;
  readonly fuse_unk?: boolean | null | undefined;
  readonly byte_fallback?: boolean | null | undefined;
  readonly ignore_merges?: boolean | null | undefined;
}

function bpeOf(json: BpeJson, context: z.RefinementCtx): TokenModel {
  const prefix = json.continuing_subword_prefix ?? '';
  const merges = new Int32Array(3 * json.merges.length);
  for (const [rank, merge] of json.merges.entries()) {
    const [left, right] = (typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : []) as readonly unknown[];
    const isPair = typeof left === 'string' && typeof right === 'string';
    const leftId = isPair ? json.vocab.get(left) : undefined;
    const rightId = isPair ? json.vocab.get(right) : undefined;
    const mergedId = isPair ? json.vocab.get(left + (prefix === '' ? right : right.slice(prefix.length))) : undefined;
    if (leftId === undefined || rightId === undefined || mergedId === undefined) {
      context.addIssue({ code: 'custom', message: 'the vocabulary lacks a token of it', path: ['merges', rank] });
      return z.NEVER;
    }
    merges[3 * rank] = leftId;
    merges[3 * rank + 1] = rightId;
    merges[3 * rank + 2] = mergedId;
  }
  return new Bpe(json.vocab, new ListedMerges(merges), {
    unkId: json.unk_token == null ? undefined : json.vocab.get(json.unk_token),
    fuseUnk: json.fuse_unk ?? false,
    bytes: json.byte_fallback === true ? new ByteTokens(json.vocab) : null,
    ignoreMerges: json.ignore_merges ?? false,
    prefix,
    suffix: json.end_of_word_suffix ?? '',
  });
}

const text = z.string().nullish();
const flag = z.boolean().nullish();

const kinds = z.discriminatedUnion('type', [
  z
    .object({
      type: z.literal('BPE'),
      vocab: vocabSchema,
      merges: mergesSchema,
      unk_token: text,
      continuing_subword_prefix: text,
      end_of_word_suffix: text,
      fuse_unk: flag,
      byte_fallback: flag,
      ignore_merges: flag,
    })
    .transform(bpeOf),
  z
    .object({
      type: z.literal('Unigram'),
      vocab: z.array(z.tuple([z.string(), z.number()])),
      unk_id: z.int().min(0).nullish(),
      byte_fallback: flag,
    })
    .transform(({ vocab, unk_id: unkId, byte_fallback: isByteFallback }): TokenModel => {
      const pieces = vocab.map(([text, score], id) => ({ text, score, id }));
      const bytes = isByteFallback === true ? new ByteTokens(new Map(pieces.map(({ text, id }) => [text, id]))) : null;
      return new Unigram(pieces, { unkId: unkId ?? undefined, bytes });
    }),
  z
    .object({
      type: z.literal('WordPiece'),
      vocab: vocabSchema,
      unk_token: z.string().default('[UNK]'),
      continuing_subword_prefix: z.string().default('##'),
      max_input_chars_per_word: z.int().min(0).default(100),
    })
    .transform(
      (json): TokenModel =>
        new WordPiece(json.vocab, {
          unkId: json.vocab.get(json.unk_token),
          prefix: json.continuing_subword_prefix,
          maxChars: json.max_input_chars_per_word,
        }),
    ),
  z
    .object({ type: z.literal('WordLevel'), vocab: vocabSchema, unk_token: z.string().default('<unk>') })
    .transform((json): TokenModel => new WordLevel(json.vocab, json.vocab.get(json.unk_token))),
]);

/** Files of 2020 don't say what their model is. */
function typed(model: unknown): unknown {
  if (typeof model !== 'object' || model === null || 'type' in model) return model;
  const type =
    'merges' in model
      ? 'BPE'
      : 'max_input_chars_per_word' in model
        ? 'WordPiece'
        : 'vocab' in model && Array.isArray(model.vocab)
          ? 'Unigram'
          : 'WordLevel';
  return { ...model, type };
}

/** `model` of tokenizer.json. */
export const modelSchema: z.ZodType<TokenModel> = z.preprocess(typed, kinds);
