import { causeText, shown } from '../../base/foreign_text.js';
import { renderChat, type ChatMessage, type ChatOptions } from './chat_template.js';
import { TokenizerError } from './errors.js';
import { createLibraryTokenizer, type LibraryTokenizer } from './library.js';
import { specialsAround } from './special_tokens.js';
import { bytesOfToken, byteSpellingOf, type ByteSpelling } from './token_bytes.js';
import {
  invalidTokenizer,
  readTokenizerFiles,
  SPECIAL_TOKENS,
  type SpecialTokenName,
  type TokenizerFiles,
} from './tokenizer_files.js';

/** How {@link Tokenizer.encode} treats a text. */
export interface EncodeOptions {
  /** Add what the model expects around a text, such as a token for its beginning. Default: true. */
  readonly addSpecialTokens?: boolean | undefined;
}

/** How {@link Tokenizer.decode} treats ids. */
export interface DecodeOptions {
  /** Leave out special tokens. Default: true. */
  readonly skipSpecialTokens?: boolean | undefined;
}

/**
 * Loads the tokenizer of a model folder in Hugging Face layout.
 *
 * @returns undefined when the folder has no tokenizer.json: the model then works on token ids only
 * @throws TokenizerError INVALID_TOKENIZER, READ_FAILED
 */
export async function loadTokenizer(dir: string): Promise<Tokenizer | undefined> {
  const files = await readTokenizerFiles(dir);
  return files === undefined ? undefined : new Tokenizer(files);
}

/** Text to token ids and back. Made by {@link loadTokenizer}. */
export class Tokenizer {
  /** One more than the largest id; ids below it may be unused. */
  readonly vocabSize: number;
  /** The most characters that one token can stand for. */
  readonly maxTokenChars: number;
  /** Ids of the special tokens. */
  readonly specialIds: ReadonlySet<number>;
  /** Id of the token for a text's beginning, if the tokenizer has one. */
  readonly bosId: number | undefined;
  /** Id of the token for a text's end, if the tokenizer has one; the model may have more of them. */
  readonly eosId: number | undefined;
  /** Jinja source of the chat template, if the model folder has one. */
  readonly chatTemplate: string | undefined;

  /** Special tokens as they are spelled, by the name of what they are for: `bos_token`, … */
  readonly specialTokens: Readonly<Partial<Record<SpecialTokenName, string>>>;
  private readonly inner: LibraryTokenizer;
  /** What is put around a text where tokenizer.json itself doesn't say it. */
  private readonly around: { readonly before: readonly number[]; readonly after: readonly number[] };
  private readonly file: string;
  private readonly byteSpelling: ByteSpelling | null;

  /** @throws TokenizerError INVALID_TOKENIZER */
  constructor({ file, tokenizer, config, chatTemplate }: TokenizerFiles) {
    this.file = file;
    this.chatTemplate = chatTemplate;
    this.specialTokens = Object.fromEntries(
      SPECIAL_TOKENS.flatMap((name) => (config[name] == null ? [] : [[name, config[name]]])),
    );
    this.byteSpelling = byteSpellingOf(tokenizer.decoder);
    this.inner = this.guarded(() => createLibraryTokenizer(tokenizer, config));
    const vocab = this.guarded(() => this.inner.get_vocab());
    this.vocabSize = [...vocab.values()].reduce((max, id) => Math.max(max, id), -1) + 1;
    this.maxTokenChars = [...vocab.keys()].reduce((max, { length }) => Math.max(max, length), 1);
    this.specialIds = new Set(tokenizer.added_tokens.filter(({ special }) => special).map(({ id }) => id));
    this.bosId = this.idOf('bos_token');
    this.eosId = this.idOf('eos_token');
    const { begins, ends } = specialsAround(tokenizer.post_processor, config);
    const only = (id: number | undefined): readonly number[] => (id === undefined ? [] : [id]);
    this.around = { before: only(begins ? this.bosId : undefined), after: only(ends ? this.eosId : undefined) };
  }

  /**
   * Token ids of a text. A special token that is spelled out in the text becomes that token. As in the format's
   * reference implementation, a BPE vocabulary without a token for unknown parts skips what it does not cover; the
   * usual vocabularies cover every byte.
   *
   * @throws TokenizerError NOT_ENCODABLE
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    if (typeof text !== 'string') {
      throw new TokenizerError('NOT_ENCODABLE', `the text is ${shown(text)}; give a string`, { file: this.file });
    }
    const isSpecial = options.addSpecialTokens ?? true;
    const { ids } = this.guarded(() => this.inner.encode(text, { add_special_tokens: isSpecial }));
    const own = ids.map((id, i) => {
      if (id !== undefined) return id;
      throw new TokenizerError(
        'NOT_ENCODABLE',
        `${this.file}: the vocabulary has no token for a part of the text (at token ${i}) and no token for unknown ` +
          'parts; remove unusual characters from the text',
        { file: this.file },
      );
    });
    return isSpecial ? [...this.around.before, ...own, ...this.around.after] : own;
  }

  /**
   * The text of token ids, exactly: white space is never "cleaned up". Bytes that are not UTF-8 become U+FFFD. Ids
   * without a token are left out: models may have more ids than their tokenizer.
   */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const skipSpecial = options.skipSpecialTokens ?? true;
    const known = ids.filter(
      (id) => this.inner.id_to_token(id) !== undefined && !(skipSpecial && this.specialIds.has(id)),
    );
    if (known.length === 0) return '';
    return this.guarded(() => this.inner.decode(known, { clean_up_tokenization_spaces: false }));
  }

  /**
   * The text of a conversation by the model's chat template.
   *
   * @throws TokenizerError NO_CHAT_TEMPLATE, TEMPLATE_FAILED
   */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    return renderChat(messages, { template: this.chatTemplate, specialTokens: this.specialTokens, ...options });
  }

  /**
   * Token ids of a conversation. The template writes every special token itself; none is added, as in transformers and vLLM.
   *
   * @throws TokenizerError NO_CHAT_TEMPLATE, TEMPLATE_FAILED, NOT_ENCODABLE
   */
  encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): number[] {
    return this.encode(this.renderChat(messages, options), { addSpecialTokens: false });
  }

  /**
   * Checks that the model has every id that this tokenizer makes.
   *
   * @param modelVocabSize `vocab_size` of the model's config.json
   * @throws TokenizerError VOCAB_MISMATCH
   */
  checkVocab(modelVocabSize: number): void {
    if (this.vocabSize <= modelVocabSize) return;
    throw new TokenizerError(
      'VOCAB_MISMATCH',
      `${this.file} has token ids up to ${this.vocabSize - 1}, but the model's vocab_size is ${modelVocabSize}; ` +
        'use the tokenizer that belongs to the model',
      { file: this.file },
    );
  }

  /** A token as the vocabulary spells it; undefined where no token has the id. */
  tokenOf(id: number): string | undefined {
    return this.inner.id_to_token(id);
  }

  /** The bytes that a token stands for, which may be no whole character; undefined where no token has the id. */
  bytesOf(id: number): Uint8Array | undefined {
    const token = this.inner.id_to_token(id);
    return token === undefined ? undefined : bytesOfToken(token, this.byteSpelling);
  }

  private idOf(name: SpecialTokenName): number | undefined {
    const token = this.specialTokens[name];
    return token === undefined ? undefined : this.inner.token_to_id(token);
  }

  /** The library doesn't check everything that tokenizer.json may have wrong: it fails while it works. */
  private guarded<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      throw invalidTokenizer(this.file, causeText(cause), cause);
    }
  }
}
