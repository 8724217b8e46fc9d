import { Tokenizer } from '@huggingface/tokenizers';

/** The part of the tokenizer library's class that is used here. */
export interface LibraryTokenizer {
  /** An id is undefined where no token covers a part of the text. */
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: readonly (number | undefined)[] };
  /** Refuses an empty list. */
  decode(ids: readonly number[], options: { readonly clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): ReadonlyMap<string, number>;
}

/**
 * The tokenizer of the parsed tokenizer.json and tokenizer_config.json.
 *
 * The library's declarations import one another without file extensions, which the compiler does not resolve for ES
 * modules: hence the interface above instead of its own.
 */
export function createLibraryTokenizer(tokenizer: object, config: object): LibraryTokenizer {
  const Constructor = Tokenizer as unknown as new (tokenizer: object, config: object) => LibraryTokenizer;
  return new Constructor(tokenizer, config);
}
