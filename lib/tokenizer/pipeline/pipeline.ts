import * as z from 'zod';
import { addedToken, addedTokenFields, AddedTokenSplitter, type AddedToken } from './added_tokens.js';
import { type TokenModel } from '../models/token_model.js';
import { modelSchema } from '../models/read_model.js';
import { decoderSchema, type ByteSpelling, type Decoder } from '../steps/decoders.js';
import { normalizerSchema, type Normalizer } from '../steps/normalizers.js';
import { NOTHING_AROUND, postProcessorSchema, type Around } from '../steps/post_processors.js';
import { cutWords, preTokenizerSchema, type CutStep } from '../steps/pre_tokenizers.js';

const addedTokenSchema = z
  .object({
    id: z
      .int()
      .min(0)
      .max(2 ** 30),
    ...addedTokenFields,
  })
  .transform((token) => addedToken(token.id, token));

/** tokenizer.json, whose parts become functions: all that says how a text becomes ids, and ids a text. */
export const pipelineSchema = z.object({
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: normalizerSchema.nullish(),
  pre_tokenizer: preTokenizerSchema.nullish(),
  post_processor: postProcessorSchema.nullish(),
  decoder: decoderSchema.nullish(),
  model: modelSchema,
});

/** What a {@link TokenPipeline} is made of. */
export type PipelineParts = z.output<typeof pipelineSchema>;

/** Longer words come once at most. */
const MAX_CACHED_CHARS = 64;
/** About 20 MiB of words and ids. */
const MAX_CACHED_WORDS = 1 << 17;

/**
 * Text to ids and back, as Hugging Face's tokenizers library does it.
 * Why: docs/decisions/tokenizers.md#texts-become-tokens-in-code-of-our-own
 */
export class TokenPipeline {
  /** What tokenizer.json puts around a text. */
  readonly around: Around;
  /** Ids of the special tokens. */
  readonly specialIds: ReadonlySet<number>;
  /** Tokens by id, as they are spelled; ids may have gaps. */
  private readonly tokens: string[] = [];
  private readonly idOfAdded = new Map<string, number>();
  private readonly raw: AddedTokenSplitter;
  private readonly normalized: AddedTokenSplitter;
  private readonly normalizer: Normalizer | null;
  private readonly steps: readonly CutStep[];
  /** The last step spells words otherwise: done for words that the cache lacks alone. */
  private readonly spell: ((word: string) => string) | null;
  private readonly model: TokenModel;
  private readonly decoder: Decoder | null;
  private readonly cache = new Map<string, readonly number[]>();

  constructor(parts: PipelineParts) {
    const steps = parts.pre_tokenizer ?? [];
    const last = steps.at(-1);
    this.spell = last?.kind === 'spell' ? last.spell : null;
    this.steps = this.spell === null ? steps : steps.slice(0, -1);
    this.model = parts.model;
    this.decoder = parts.decoder ?? null;
    this.around = parts.post_processor ?? NOTHING_AROUND;
    this.normalizer = parts.normalizer ?? null;
    for (const [text, id] of this.model.tokens ?? this.model.vocab) this.tokens[id] = text;
    const added = parts.added_tokens.map((token) => ({
      ...token,
      id: this.model.vocab.get(token.content) ?? token.id,
    }));
    const contentOf = ({ content, normalized }: AddedToken): string =>
      normalized ? (this.normalizer?.(content, true) ?? content) : content;
    for (const token of added) {
      this.tokens[token.id] = contentOf(token);
      this.idOfAdded.set(token.content, token.id);
    }
    const specials = new Set(added.filter(({ special }) => special).map(({ content }) => content));
    // Not those of the added tokens alone: a piece of the model may be spelled like one.
    this.specialIds = new Set([...this.tokens.keys()].filter((id) => specials.has(this.tokens[id]!)));
    this.raw = new AddedTokenSplitter(added.filter(({ normalized }) => !normalized));
    this.normalized = new AddedTokenSplitter(
      added.filter(({ normalized }) => normalized),
      contentOf,
    );
  }

  /** Token ids of a text, nothing put around it; -1 where no token covers a part of it. */
  encode(text: string): number[] {
    const ids: number[] = [];
    this.raw.split(text.toWellFormed()).forEach((piece, i) => {
      if (piece.token !== null) ids.push(piece.token.id);
      else this.encodeRaw(piece.text, i === 0, ids);
    });
    return ids;
  }

  private encodeRaw(text: string, isFirst: boolean, ids: number[]): void {
    const normalized = this.normalizer === null ? text : this.normalizer(text, isFirst);
    const isStillFirst = isFirst && (this.normalizer === null || !losesFirst(this.normalizer, text));
    this.normalized.split(normalized).forEach((piece, i) => {
      if (piece.token !== null) ids.push(piece.token.id);
      else this.encodePlain(piece.text, isStillFirst && i === 0, ids);
    });
  }

  private encodePlain(text: string, isFirst: boolean, ids: number[]): void {
    const { safeWords } = this.model;
    for (const word of cutWords(text, this.steps, isFirst)) {
      if (word.length <= MAX_CACHED_CHARS || safeWords == null || this.spell !== null) this.encodeWord(word, ids);
      else for (const part of word.match(safeWords)!) this.encodeWord(part, ids);
    }
  }

  private encodeWord(word: string, ids: number[]): void {
    const known = this.cache.get(word);
    if (known !== undefined) {
      for (const id of known) ids.push(id);
      return;
    }
    const start = ids.length;
    if (word !== '') this.model.encode(this.spell === null ? word : this.spell(word), ids);
    if (word.length > MAX_CACHED_CHARS) return;
    if (this.cache.size === MAX_CACHED_WORDS) this.cache.clear();
    this.cache.set(word, ids.slice(start));
  }

  /** The text of ids; those without a token are left out. */
  decode(ids: readonly number[]): string {
    const tokens = ids.flatMap((id) => this.tokens[id] ?? []);
    return this.decoder === null ? tokens.join(' ') : this.decoder.decode(tokens).join('');
  }

  /** How the vocabulary spells bytes. */
  get byteSpelling(): ByteSpelling | null {
    return this.decoder?.spelling ?? null;
  }

  /** Undefined where no token has this text. */
  idOf(token: string): number | undefined {
    return this.idOfAdded.get(token) ?? this.model.vocab.get(token);
  }

  /** Undefined where no token has this id. */
  tokenOf(id: number): string | undefined {
    return this.tokens[id];
  }

  /** One more than the largest id; ids below it may be unused. */
  get size(): number {
    return this.tokens.length;
  }

  /** The most characters that a token is spelled with. */
  get maxTokenChars(): number {
    return this.tokens.reduce((most, token) => Math.max(most, token.length), 1);
  }
}

/** Whether a normaliser takes the first character away: what is left isn't the beginning any more. */
const losesFirst = (normalizer: Normalizer, text: string): boolean =>
  text !== '' && normalizer(String.fromCodePoint(text.codePointAt(0)!), false) === '';
