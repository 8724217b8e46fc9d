/** Byte-pair encoding: characters of a word, or bytes, merged in a learned order. */
import { UNCOVERED, type ByteTokens, type TokenModel } from './token_model.js';
import { WordMerger, type Merges } from './merges.js';

/** How a vocabulary spells words and what it doesn't cover. */
export interface BpeOptions {
  /** For characters without a token. Default: they are left out. */
  readonly unkId?: number | undefined;
  /** Several of them in a row are one token. Default: false. */
  readonly fuseUnk?: boolean | undefined;
  /** What characters without a token become. Default: unknown. */
  readonly bytes?: ByteTokens | null | undefined;
  /** In front of what continues a word. Default: ''. */
  readonly prefix?: string | undefined;
  /** Behind what ends a word. Default: ''. */
  readonly suffix?: string | undefined;
  /** A word that is a token is that token, however it would be merged. Default: false. */
  readonly ignoreMerges?: boolean | undefined;
  /** Words of which that is so in any case. Default: none. */
  readonly wholeWords?: ReadonlySet<string> | undefined;
  /** See {@link TokenModel.tokens}. */
  readonly tokens?: TokenModel['tokens'] | undefined;
}

/** BPE as Hugging Face's tokenizers library does it. */
export class Bpe implements TokenModel {
  readonly safeWords: RegExp | null;
  readonly tokens: Iterable<readonly [text: string, id: number]>;
  private readonly merger: WordMerger;

  constructor(
    readonly vocab: ReadonlyMap<string, number>,
    merges: Merges,
    private readonly options: BpeOptions = {},
  ) {
    this.merger = new WordMerger(merges);
    this.tokens = options.tokens ?? vocab;
    this.safeWords = safeWordsOf(vocab, options);
  }

  /** See {@link TokenModel}. */
  encode(word: string, ids: number[]): void {
    const { ignoreMerges = false, wholeWords } = this.options;
    const whole = ignoreMerges || wholeWords?.has(word) === true ? this.vocab.get(word) : undefined;
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    const start = ids.length;
    this.pushCharacters(word, ids);
    this.merger.merge(ids, start);
  }

  private pushCharacters(word: string, ids: number[]): void {
    const { unkId, fuseUnk = false, prefix = '', suffix = '' } = this.options;
    let isUnkPending = false;
    for (let i = 0; i < word.length;) {
      const end = i + characterLength(word, i);
      const character = word.slice(i, end);
      const text = `${i > 0 ? prefix : ''}${character}${end === word.length ? suffix : ''}`;
      i = end;
      const id = this.vocab.get(text);
      if (id === undefined) {
        const bytes = this.options.bytes?.of(text) ?? null;
        if (bytes !== null) ids.push(...bytes);
        else if (unkId !== undefined) {
          if (isUnkPending && !fuseUnk) ids.push(unkId);
          isUnkPending = true;
        }
        continue;
      }
      if (isUnkPending) ids.push(unkId!);
      isUnkPending = false;
      ids.push(id);
    }
    if (isUnkPending) ids.push(unkId ?? UNCOVERED);
  }
}

/** A character outside the basic plane has two units. */
function characterLength(text: string, i: number): number {
  const unit = text.charCodeAt(i);
  return unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length ? 2 : 1;
}

/** SentencePiece's mark for a space. */
const MARK = '▁';
const MARK_BEHIND_OTHERS = /[^▁]▁/;
const MARKED_WORDS = /▁+[^▁]*|[^▁]+/g;

/** No merge goes over the beginning of a word where no token has the mark behind another character. */
function safeWordsOf(vocab: ReadonlyMap<string, number>, { ignoreMerges = false, prefix, suffix }: BpeOptions): RegExp | null {
  if (ignoreMerges || Boolean(prefix) || Boolean(suffix) || !vocab.has(MARK)) return null;
  for (const token of vocab.keys()) if (MARK_BEHIND_OTHERS.test(token)) return null;
  return MARKED_WORDS;
}
