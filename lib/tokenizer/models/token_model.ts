/** What makes tokens of a word. */
export interface TokenModel {
  /** Ids by the spelling of their tokens; added tokens are not among them. */
  readonly vocab: ReadonlyMap<string, number>;
  /** Tokens with their ids where one is spelled like another. Default: those of `vocab`. */
  readonly tokens?: Iterable<readonly [text: string, id: number]>;
  /**
   * Appends a word's token ids; -1 where no token covers a part of it and there is none for unknown parts.
   *
   * @param word in the spelling of the vocabulary, never empty
   */
  encode(word: string, ids: number[]): void;
  /**
   * Where a text may be cut into words without changing its tokens, as a global pattern of words; null: nowhere. Long texts that no step has cut take less
   * time so.
   */
  readonly safeWords?: RegExp | null;
}

/** No token covers a part of a word. */
export const UNCOVERED = -1;

/** Ids of the tokens for single bytes (`<0x0A>`), by byte; null where the vocabulary lacks one of those asked for. */
export class ByteTokens {
  private readonly ids: readonly (number | undefined)[];

  constructor(vocab: ReadonlyMap<string, number>) {
    this.ids = Array.from({ length: 256 }, (_, byte) =>
      vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
    );
  }

  /** A token for each byte of a text's UTF-8. */
  of(text: string): readonly number[] | null {
    const ids = Array.from(Buffer.from(text, 'utf8'), (byte) => this.ids[byte]);
    return ids.every((id) => id !== undefined) ? ids : null;
  }
}
