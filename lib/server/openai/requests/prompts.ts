/** From the prompts and conversations of requests to token ids. */
import { EngineError } from '../../../protocol/errors.js';
import type { ChatMessage, ChatOptions, ChatSettings } from '../../../tokenizer/chat_template.js';
import type { Tokenizer } from '../../../tokenizer/tokenizer.js';
import { ApiError } from '../../base/api_error.js';
import type { ServerContext } from '../../base/part.js';
import type { ServedEngine } from '../../base/served_engine.js';
import type { Conversation, MessageInput } from './chat_request.js';
import type { PromptInput } from './completion_request.js';

/** What the engine reads, and the text that it comes from. */
export interface Prompt {
  readonly tokenIds: readonly number[];
  /** Null where tokens were given. */
  readonly text: string | null;
}

/** Characters of a text that is encoded at once: of the slowest texts, half a second. Longer ones are encoded in a thread. */
const MAX_CHARS_AT_ONCE = 16_384;

/** How a text becomes tokens. */
export interface PromptOptions {
  /** Default: as the model's tokenizer does. */
  readonly addSpecialTokens?: boolean | undefined;
  /** Keep so many of the last tokens alone; −1: as many as the context has. Default: all. */
  readonly truncate?: number | null | undefined;
  /** Aborted when nobody waits for the tokens any more. Default: never. */
  readonly signal?: AbortSignal | undefined;
}

/** Makes prompts for an engine. */
export class Prompts {
  constructor(
    private readonly engine: Pick<ServedEngine, 'tokenizer'> & {
      readonly limits: Pick<ServedEngine['limits'], 'maxModelLen'>;
    },
    private readonly longTexts: ServerContext['longTexts'],
    /** Which chat template, and what it sees where a request doesn't say otherwise. */
    private readonly settings: ChatSettings = {},
  ) {}

  /** @throws ApiError UNSUPPORTED without a tokenizer. */
  get tokenizer(): Tokenizer {
    const { tokenizer } = this.engine;
    if (tokenizer !== undefined) return tokenizer;
    throw new EngineError('NO_TOKENIZER', 'the model has no tokenizer; give token ids to /v1/completions');
  }

  /**
   * @throws ApiError CONTEXT_LENGTH_EXCEEDED; QUEUE_FULL where too many long texts wait; EngineError NO_TOKENIZER; TokenizerError NOT_ENCODABLE, THREAD_ENDED; and
   * with the reason of the signal
   */
  async read(prompt: PromptInput, options: PromptOptions = {}): Promise<Prompt> {
    if (typeof prompt !== 'string') return { tokenIds: this.cut(prompt, options.truncate), text: null };
    return { tokenIds: await this.encode(prompt, options), text: prompt };
  }

  /** The conversation in the model's chat template. @throws as {@link read}; TokenizerError NO_CHAT_TEMPLATE, TEMPLATE_FAILED, INVALID_ARGUMENT */
  async chat(
    conversation: Conversation,
    options: PromptOptions & { readonly variables?: Readonly<Record<string, unknown>> } = {},
  ): Promise<Prompt> {
    const { messages, tools, documents, chat_template_kwargs: more } = conversation;
    this.checkLength(
      messages.reduce((sum, { content }) => sum + textOf(content).length, 0),
      options,
    );
    const text = this.tokenizer.renderChat(messages.map(messageOf), {
      ...endingOf(conversation),
      ...(tools != null && tools.length > 0 && { tools }),
      ...(documents != null && documents.length > 0 && { documents }),
      ...this.settings,
      variables: { ...this.settings.variables, ...options.variables, ...more },
    });
    return { tokenIds: await this.encode(text, { addSpecialTokens: false, ...options }), text };
  }

  private async encode(
    text: string,
    { addSpecialTokens, truncate, signal }: PromptOptions,
  ): Promise<readonly number[]> {
    this.checkLength(text.length, { truncate });
    const end = text.slice(-this.maxChars);
    if (end.length <= MAX_CHARS_AT_ONCE) return this.cut(this.tokenizer.encode(end, { addSpecialTokens }), truncate);
    if (this.longTexts.isFull) throw new ApiError('QUEUE_FULL', 'too many long texts wait to be read; try again later');
    return this.cut(await this.longTexts.encode(end, { addSpecialTokens }, signal), truncate);
  }

  private cut(tokenIds: readonly number[], truncate: number | null | undefined): readonly number[] {
    if (truncate == null) return tokenIds;
    return tokenIds.slice(-(truncate < 0 ? this.engine.limits.maxModelLen : Math.max(1, truncate)));
  }

  /** Characters at the end of a text that is truncated, in which the tokens that are kept certainly lie; before them is one more, so that it shows when all are too many. */
  private get maxChars(): number {
    return (this.engine.limits.maxModelLen + 1) * this.tokenizer.maxTokenChars;
  }

  /** What can't fit whatever its tokens are isn't cut into tokens: all requests would wait for that. */
  private checkLength(numChars: number, { truncate }: PromptOptions): void {
    const { maxModelLen } = this.engine.limits;
    if (truncate != null || numChars <= maxModelLen * this.tokenizer.maxTokenChars) return;
    throw new ApiError(
      'CONTEXT_LENGTH_EXCEEDED',
      `the prompt has ${numChars} characters, more than the ${maxModelLen} tokens of the context can be; shorten it`,
    );
  }
}

/** The text of a message's content. */
function textOf(content: MessageInput['content']): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map(({ text }) => text).join('\n');
}

/** How the text of a conversation ends. @throws ApiError INVALID_VALUE where it is to end in two ways */
function endingOf(conversation: Conversation): Pick<ChatOptions, 'addGenerationPrompt' | 'continueFinalMessage'> {
  const { add_generation_prompt: asks, continue_final_message: continues } = conversation;
  if (continues !== true) return { addGenerationPrompt: asks ?? true };
  if (asks !== true) return { continueFinalMessage: true };
  throw new ApiError('INVALID_VALUE', 'continue_final_message and add_generation_prompt exclude each other; set one', {
    param: 'continue_final_message',
  });
}

/** A message without a content of its own, a call of tools, has an empty one, as vLLM reads it. */
const messageOf = ({ content, ...rest }: MessageInput): ChatMessage => ({ ...rest, content: content ?? '' });
