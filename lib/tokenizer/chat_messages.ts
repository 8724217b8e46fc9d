/** Messages as chat templates see them, and a last message that is to be continued. Source: transformers, utils/chat_template_utils.py */
import { shown } from '../../base/foreign_text.js';
import { parseExactJson } from './jinja/values/plain.js';
import { TokenizerError } from './errors.js';

/** One message of a conversation, as chat templates know it. */
export interface ChatMessage {
  /** 'system', 'user', 'assistant', or what else the model's template understands. */
  readonly role: string;
  /** A text, or parts: `{ type: 'text', text }`. Null or none: a call of tools alone. */
  readonly content?: unknown;
  /** What else the template may look at, under its own name: `tool_calls`, `tool_call_id`, … Null is as if it weren't there. */
  readonly [field: string]: unknown;
}

/** Names of a message's reasoning; templates read the first, those of gpt-oss the second. */
const REASONING_FIELDS = ['reasoning_content', 'thinking', 'reasoning'];

/** Fields that say something, and reasoning under the names that templates read. Why: docs/decisions/chats.md#messages-as-transformers-passes-them */
export function messageFields(message: ChatMessage): Record<string, unknown> {
  const fields = Object.fromEntries(Object.entries(message).filter(([, value]) => value != null));
  const reasoning = REASONING_FIELDS.map((name) => fields[name]).find((value) => value !== undefined);
  return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning };
}

/**
 * Messages in OpenAI's form as templates know them: arguments of tool calls as values, and parts of text as one text where the template reads no parts.
 *
 * @param readsParts asked where a message has parts
 * @throws TokenizerError INVALID_ARGUMENT where arguments are no JSON
 */
export function textMessages(messages: readonly ChatMessage[], readsParts: () => boolean): ChatMessage[] {
  return messages.map((message) => {
    const { content, tool_calls: calls } = message;
    const isJoined = Array.isArray(content) && content.every(isTextPart) && !readsParts();
    return {
      ...message,
      ...(isJoined && { content: content.map(({ text }) => text).join('\n') }),
      ...(Array.isArray(calls) && { tool_calls: calls.map(withParsedArguments) }),
    };
  });
}

const isTextPart = (part: unknown): part is { readonly text: string } =>
  typeof part === 'object' && part !== null && typeof (part as { readonly text?: unknown }).text === 'string';

function withParsedArguments(call: unknown): unknown {
  if (typeof call !== 'object' || call === null) return call;
  const { function: called } = call as { readonly function?: { readonly arguments?: unknown } | null };
  if (typeof called?.arguments !== 'string') return call;
  try {
    return { ...call, function: { ...called, arguments: parseExactJson(called.arguments || '{}') } };
  } catch (cause) {
    throw new TokenizerError(
      'INVALID_ARGUMENT',
      `the arguments of a tool call are ${shown(called.arguments)}; give JSON`,
      { cause },
    );
  }
}

/** Marks where the last message ends. */
const END_MARK = 'CONTINUE_FINAL_MESSAGE_TAG ';

/** A conversation of which the last message is to go on where it ends. */
export class OpenConversation {
  readonly messages: readonly Record<string, unknown>[];
  private readonly text: string;

  /**
   * @param field of the last message that is continued
   * @param template Jinja source
   * @throws TokenizerError INVALID_ARGUMENT where there is no such text, or the template doesn't write it
   */
  constructor(messages: readonly Record<string, unknown>[], field: string, template: string) {
    const last = messages.at(-1);
    const value = last?.[field];
    if (last === undefined || value === undefined) throw cannot(`the last message has no "${field}"`);
    const fields = REASONING_FIELDS.includes(field) ? REASONING_FIELDS.filter((name) => last[name] === value) : [field];
    if (!fields.some((name) => template.includes(name))) throw cannot(`the chat template doesn't read "${field}"`);
    const { text, marked } = withMark(value, field);
    this.text = text;
    this.messages = [
      ...messages.slice(0, -1),
      { ...last, ...Object.fromEntries(fields.map((name) => [name, marked])) },
    ];
  }

  /** What the template wrote, up to where the last message ends. @throws TokenizerError INVALID_ARGUMENT where the template left that out */
  cut(rendered: string): string {
    const place = rendered.lastIndexOf(END_MARK.trim());
    if (place < 0 || !rendered.includes(this.text.trim()))
      throw cannot('the chat template changes the last message or leaves it out');
    const isAsGiven = rendered.startsWith(END_MARK, place);
    return isAsGiven ? rendered.slice(0, place) : rendered.slice(0, place).trimEnd();
  }
}

function withMark(value: unknown, field: string): { readonly text: string; readonly marked: unknown } {
  if (typeof value === 'string') return { text: value, marked: value + END_MARK };
  const parts = Array.isArray(value) ? (value as readonly { readonly text?: unknown }[]) : [];
  const place = parts.findLastIndex((part) => typeof part.text === 'string');
  if (place < 0) throw cannot(`"${field}" of the last message has no text`);
  const text = parts[place]!.text as string;
  return { text, marked: parts.map((part, i) => (i === place ? { ...part, text: text + END_MARK } : part)) };
}

const cannot = (why: string): TokenizerError =>
  new TokenizerError(
    'INVALID_ARGUMENT',
    `the last message can't be continued: ${why}; end with a message that has a text, or leave continue_final_message out`,
  );
