import { Tokenizer } from '@huggingface/tokenizers';
import { AddedTokenSplitter, type AddedToken } from './added_tokens.js';

/** The part of the tokenizer library's class that is used here. */
export interface LibraryTokenizer {
  /** An id is undefined where no token covers a part of the text. */
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: readonly (number | undefined)[] };
  /** Refuses an empty list. */
  decode(ids: readonly number[], options: { readonly clean_up_tokenization_spaces: boolean }): string;
  /** Undefined where no token has this text. */
  token_to_id(token: string): number | undefined;
  /** Undefined where no token has this id. */
  id_to_token(id: number): string | undefined;
  /** Ids by the text of their tokens, added ones included. */
  get_vocab(): ReadonlyMap<string, number>;
}

/** Parts of it that cutting a text into tokens goes through. */
interface LibraryParts extends LibraryTokenizer {
  readonly normalizer: ((text: string) => string) | null;
  readonly pre_tokenizer: ((text: string, options: { readonly section_index: number }) => readonly string[]) | null;
  readonly model: (words: readonly string[]) => readonly string[];
  readonly added_tokens: readonly AddedToken[];
}

/**
 * The library's declarations import one another without file extensions, which the compiler does not resolve for ES
 * modules: hence the interfaces above instead of its own.
 */
const Base = Tokenizer as unknown as new (tokenizer: object, config: object) => LibraryParts;

/** The library's tokenizer, but for how texts are cut at added tokens, where the library leaves out what tokenizer.json says of them. */
class ExactTokenizer extends Base {
  private splitters: { readonly raw: AddedTokenSplitter; readonly normalized: AddedTokenSplitter } | null = null;

  /** Overrides the library's; the tokens of a text, before special tokens are put around them. */
  encode_text(text: string | null): readonly string[] | null {
    if (text === null) return null;
    this.splitters ??= this.createSplitters();
    const { raw, normalized } = this.splitters;
    return raw.split(text).flatMap((piece, i) => {
      if (piece.token !== null) return [piece.token.content];
      return normalized.split(this.normalizer?.(piece.text) ?? piece.text).flatMap((part, j) => {
        if (part.token !== null) return [part.token.content];
        // Some tokenizers treat the beginning of a text in another way than what follows.
        const sectionIndex = i === 0 && j === 0 ? 0 : 1;
        const words = this.pre_tokenizer?.(part.text, { section_index: sectionIndex }) ?? [part.text];
        return this.model(words);
      });
    });
  }

  private createSplitters() {
    const { added_tokens: tokens, normalizer } = this;
    return {
      raw: new AddedTokenSplitter(tokens.filter(({ normalized }) => !normalized)),
      normalized: new AddedTokenSplitter(
        tokens.filter(({ normalized }) => normalized),
        ({ content }) => normalizer?.(content) ?? content,
      ),
    };
  }
}

/** The tokenizer of the parsed tokenizer.json and tokenizer_config.json. */
export const createLibraryTokenizer = (tokenizer: object, config: object): LibraryTokenizer =>
  new ExactTokenizer(tokenizer, config);
