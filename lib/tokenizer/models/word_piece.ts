/** WordPiece, and whole words as tokens. */
import { UNCOVERED, type TokenModel } from './token_model.js';

/** How WordPiece spells words. */
export interface WordPieceOptions {
  readonly unkId?: number | undefined;
  /** In front of what continues a word. */
  readonly prefix: string;
  /** Longer words are unknown. */
  readonly maxChars: number;
}

/** The longest piece first; a word that isn't covered whole is unknown whole. */
export class WordPiece implements TokenModel {
  constructor(
    readonly vocab: ReadonlyMap<string, number>,
    private readonly options: WordPieceOptions,
  ) {}

  /** See {@link TokenModel}. */
  encode(word: string, ids: number[]): void {
    const { unkId = UNCOVERED, maxChars } = this.options;
    const characters = Array.from(word);
    const start = ids.length;
    if (characters.length > maxChars || !this.pushPieces(characters, ids)) {
      ids.length = start;
      ids.push(unkId);
    }
  }

  private pushPieces(characters: readonly string[], ids: number[]): boolean {
    for (let start = 0; start < characters.length;) {
      const prefix = start > 0 ? this.options.prefix : '';
      let end = characters.length;
      let id: number | undefined;
      for (; end > start; end--) {
        id = this.vocab.get(prefix + characters.slice(start, end).join(''));
        if (id !== undefined) break;
      }
      if (id === undefined) return false;
      ids.push(id);
      start = end;
    }
    return true;
  }
}

/** A token per word. */
export class WordLevel implements TokenModel {
  constructor(
    readonly vocab: ReadonlyMap<string, number>,
    private readonly unkId: number = UNCOVERED,
  ) {}

  /** See {@link TokenModel}. */
  encode(word: string, ids: number[]): void {
    ids.push(this.vocab.get(word) ?? this.unkId);
  }
}
