import { Template } from '@huggingface/jinja';
import { causeText } from '../../base/foreign_text.js';
import { TokenizerError } from './errors.js';

/** One message of a conversation, as chat templates know it. */
export interface ChatMessage {
  /** 'system', 'user', 'assistant', or what else the model's template understands. */
  readonly role: string;
  readonly content: string;
  /** What else the template may look at, under its own name: `tool_calls`, `tool_call_id`, … */
  readonly [field: string]: unknown;
}

/** The template, and what it sees besides the messages. */
export interface RenderChatOptions {
  /** Jinja source; undefined when the model folder has none. */
  readonly template: string | undefined;
  /** What the template sees under these names: `bos_token`, `pad_token`, … Default: `bos_token` and `eos_token` are empty. */
  readonly specialTokens?: Readonly<Record<string, string>> | undefined;
  /** End with what makes the model answer. Default: true. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** What else the template sees, by name: `tools`, `enable_thinking`, … Default: nothing. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

/** What a caller says of how a conversation becomes text. */
export type ChatOptions = Pick<RenderChatOptions, 'addGenerationPrompt' | 'variables'>;

/** Jinja2 reads any end of a line as a new line before it looks at anything else; the library here doesn't. */
const withNewLines = (template: string): string => template.replace(/\r\n?/g, '\n');

/**
 * Turns messages into the text that the model was trained on.
 *
 * @throws TokenizerError NO_CHAT_TEMPLATE, TEMPLATE_FAILED with the template's own words when it refuses the messages
 */
export function renderChat(messages: readonly ChatMessage[], options: RenderChatOptions): string {
  if (options.template === undefined) {
    throw new TokenizerError(
      'NO_CHAT_TEMPLATE',
      'the model folder has no chat template for messages; ' +
        'give a plain prompt, or put a chat_template.jinja into the model folder',
    );
  }
  try {
    return new Template(withNewLines(options.template)).render({
      ...options.variables,
      messages,
      bos_token: '',
      eos_token: '',
      ...options.specialTokens,
      add_generation_prompt: options.addGenerationPrompt ?? true,
    });
  } catch (cause) {
    throw new TokenizerError(
      'TEMPLATE_FAILED',
      `the chat template failed: ${causeText(cause)}; change the messages (roles and their order), or give a plain prompt`,
      { cause },
    );
  }
}
