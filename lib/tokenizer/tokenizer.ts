import { shown } from '../../base/foreign_text.js';
import { textMessages } from './chat_messages.js';
import { ChatTemplates, type ChatMessage, type ChatOptions } from './chat_template.js';
import { TokenizerError } from './errors.js';
import { UNCOVERED } from './models/token_model.js';
import { TokenPipeline } from './pipeline/pipeline.js';
import { specialsAround } from './special_tokens.js';
import { bytesOfToken } from './token_bytes.js';
import { SPECIAL_TOKENS, type SpecialTokenName } from './tokenizer_config.js';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer_files.js';

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
 * @returns undefined when the folder has no tokenizer: the model then works on token ids only
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
  /** The model's chat templates. */
  readonly chatTemplates: ChatTemplates;

  /** Special tokens as they are spelled, by the name of what they are for: `bos_token`, … */
  readonly specialTokens: Readonly<Partial<Record<SpecialTokenName, string>>>;
  private readonly pipeline: TokenPipeline;
  /** What is put around a text. */
  private readonly around: { readonly before: readonly number[]; readonly after: readonly number[] };
  private readonly file: string;

  constructor({ file, tokenizer, config, chatTemplates }: TokenizerFiles) {
    this.file = file;
    this.specialTokens = Object.fromEntries(
      SPECIAL_TOKENS.flatMap((name) => (config[name] == null ? [] : [[name, config[name]]])),
    );
    this.chatTemplates = new ChatTemplates(chatTemplates, this.specialTokens);
    this.pipeline = new TokenPipeline(tokenizer);
    this.vocabSize = this.pipeline.size;
    this.maxTokenChars = this.pipeline.maxTokenChars;
    this.specialIds = this.pipeline.specialIds;
    this.bosId = this.idOf('bos_token');
    this.eosId = this.idOf('eos_token');
    const { around } = this.pipeline;
    const { begins, ends } = specialsAround(around.isTemplate, config);
    const only = (id: number | undefined): readonly number[] => (id === undefined ? [] : [id]);
    this.around = {
      before: [...only(begins ? this.bosId : undefined), ...around.before],
      after: [...around.after, ...only(ends ? this.eosId : undefined)],
    };
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
    const ids = this.pipeline.encode(text);
    const unknown = ids.indexOf(UNCOVERED);
    if (unknown >= 0) {
      throw new TokenizerError(
        'NOT_ENCODABLE',
        `${this.file}: the vocabulary has no token for a part of the text (at token ${unknown}) and no token for unknown ` +
          'parts; remove unusual characters from the text',
        { file: this.file },
      );
    }
    return (options.addSpecialTokens ?? true) ? [...this.around.before, ...ids, ...this.around.after] : ids;
  }

  /**
   * The text of token ids, exactly: white space is never "cleaned up". Bytes that are not UTF-8 become U+FFFD. Ids
   * without a token are left out: models may have more ids than their tokenizer.
   */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const skipSpecial = options.skipSpecialTokens ?? true;
    return this.pipeline.decode(skipSpecial ? ids.filter((id) => !this.specialIds.has(id)) : ids);
  }

  /**
   * The text of a conversation by the model's chat template. Arguments of tool calls may be JSON, as OpenAI's API has them. Parts of text become one text where the
   * template reads no parts.
   *
   * @throws TokenizerError NO_CHAT_TEMPLATE, TEMPLATE_FAILED, INVALID_ARGUMENT
   */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    const own = textMessages(messages, () => this.chatTemplates.readsParts(options));
    return this.chatTemplates.render(own, options);
  }

  /**
   * Token ids of a conversation. The template writes every special token itself; none is added, as in transformers and vLLM.
   *
   * @throws TokenizerError NO_CHAT_TEMPLATE, TEMPLATE_FAILED, INVALID_ARGUMENT, NOT_ENCODABLE
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
    return this.pipeline.tokenOf(id);
  }

  /** The bytes that a token stands for, which may be no whole character; undefined where no token has the id. */
  bytesOf(id: number): Uint8Array | undefined {
    const token = this.pipeline.tokenOf(id);
    return token === undefined ? undefined : bytesOfToken(token, this.pipeline.byteSpelling);
  }

  private idOf(name: SpecialTokenName): number | undefined {
    const token = this.specialTokens[name];
    return token === undefined ? undefined : this.pipeline.idOf(token);
  }
}
