/** Conversations as the text that a model was trained on, by its chat template. Why: docs/decisions/chats.md#jinja-with-pythons-values */
import { causeText, printable } from '../../base/foreign_text.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { messageFields, OpenConversation, type ChatMessage } from './chat_messages.js';
import { TokenizerError } from './errors.js';
import { TemplateError } from './jinja/values/errors.js';
import { Template } from './jinja/template.js';

export type { ChatMessage } from './chat_messages.js';

/** What a caller says of how a conversation becomes text. */
export interface ChatOptions {
  /** End with what makes the model answer. Default: true, but false where the last message is continued. */
  readonly addGenerationPrompt?: boolean | undefined;
  /** End within the last message, so that the model goes on with it: its content, or the field of this name. Default: false. */
  readonly continueFinalMessage?: boolean | string | undefined;
  /** Functions that the model may call, as JSON schemas. Default: none. */
  readonly tools?: readonly object[] | undefined;
  /** What the model may quote: `{ title, text }`, … Default: none. */
  readonly documents?: readonly object[] | undefined;
  /** What else the template sees, by name: `enable_thinking`, … Over special tokens of these names. Default: nothing. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** Which of several templates. Default: `tool_use` where tools are given and there is one, else `default`. */
  readonly templateName?: string | undefined;
  /** What `strftime_now` tells. Default: this machine's time. */
  readonly now?: (() => Date) | undefined;
}

/** What a configuration says of how conversations become text. */
export type ChatSettings = Pick<ChatOptions, 'templateName' | 'variables'>;

/** What `generate` of a configuration says of it. */
export const chatSettingsOf = ({
  chat_template: name,
  chat_template_kwargs: variables,
}: Pick<ExpertwireConfig['generate'], 'chat_template' | 'chat_template_kwargs'>): ChatSettings => ({
  variables,
  ...(name !== null && { templateName: name }),
});

/** A text that no template has. */
const TRIAL_TEXT = 'a part of a content';

/** A model's chat templates by their names; the only one is `default`. */
export class ChatTemplates {
  private readonly parsed = new Map<string, Template>();
  private readonly partsRead = new Map<string, boolean>();

  /**
   * @param sources Jinja source by name
   * @param specialTokens what templates see under these names: `bos_token`, …
   */
  constructor(
    readonly sources: ReadonlyMap<string, string>,
    private readonly specialTokens: Readonly<Record<string, string>> = {},
  ) {}

  /**
   * Turns messages into the text that the model was trained on.
   *
   * @throws TokenizerError NO_CHAT_TEMPLATE where there is none (of this name); TEMPLATE_FAILED with the template's own words when it refuses the messages;
   * INVALID_ARGUMENT where the last message can't be continued
   */
  render(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    const name = this.nameOf(options);
    const fields = messages.map(messageFields);
    const { continueFinalMessage: continued = false } = options;
    if (continued === false) return this.rendered(name, fields, options);
    const open = new OpenConversation(fields, continued === true ? 'content' : continued, this.sources.get(name)!);
    return open.cut(this.rendered(name, open.messages, { ...options, addGenerationPrompt: false }));
  }

  /** Jinja source of the template that these options choose. @throws TokenizerError NO_CHAT_TEMPLATE */
  sourceOf(options: ChatOptions = {}): string {
    return this.sources.get(this.nameOf(options))!;
  }

  /** Whether the template takes a content of parts, and writes their texts. One that can't is given one text. @throws TokenizerError NO_CHAT_TEMPLATE */
  readsParts(options: ChatOptions = {}): boolean {
    const name = this.nameOf(options);
    const known = this.partsRead.get(name) ?? this.tryParts(name);
    this.partsRead.set(name, known);
    return known;
  }

  private tryParts(name: string): boolean {
    const content = [{ type: 'text', text: TRIAL_TEXT }];
    try {
      const text = this.rendered(name, [{ role: 'user', content }], {});
      return text.includes(TRIAL_TEXT) && !/['"]type['"]: ?['"]text/.test(text);
    } catch {
      return false;
    }
  }

  private nameOf({ templateName, tools }: ChatOptions): string {
    const wanted = templateName ?? (tools !== undefined && this.sources.has('tool_use') ? 'tool_use' : 'default');
    if (this.sources.has(wanted)) return wanted;
    const names = [...this.sources.keys()].map((name) => printable(name));
    throw new TokenizerError(
      'NO_CHAT_TEMPLATE',
      names.length === 0
        ? 'the model folder has no chat template for messages; give a plain prompt, or put a chat_template.jinja into the model folder'
        : `the model folder has no chat template "${printable(wanted)}"; it has ${names.join(', ')}`,
    );
  }

  private rendered(name: string, messages: readonly object[], options: ChatOptions): string {
    const { variables = {}, tools, documents, addGenerationPrompt, now } = options;
    try {
      const variablesOfAll = { tools: null, documents: null, ...this.specialTokens, ...variables };
      return this.template(name).render(
        {
          ...variablesOfAll,
          ...(tools !== undefined && { tools }),
          ...(documents !== undefined && { documents }),
          messages,
          add_generation_prompt: addGenerationPrompt ?? true,
        },
        now,
      );
    } catch (cause) {
      throw failure(cause);
    }
  }

  private template(name: string): Template {
    const known = this.parsed.get(name) ?? new Template(this.sources.get(name)!);
    this.parsed.set(name, known);
    return known;
  }
}

function failure(cause: unknown): TokenizerError {
  if (!(cause instanceof TemplateError)) {
    return new TokenizerError('TEMPLATE_FAILED', `the chat template failed: ${causeText(cause)}; give a plain prompt`, {
      cause,
    });
  }
  const where = cause.line === null ? '' : ` at line ${cause.line}`;
  const advice =
    cause.code === 'TEMPLATE_SYNTAX'
      ? "mend the template in the model's folder, or give a plain prompt"
      : 'change the messages (roles and their order), or give a plain prompt';
  const what =
    cause.code === 'TEMPLATE_RAISED'
      ? 'the chat template refuses this'
      : cause.code === 'TEMPLATE_SYNTAX'
        ? `the chat template is malformed${where}`
        : `the chat template failed${where}`;
  return new TokenizerError('TEMPLATE_FAILED', `${what}: ${printable(cause.text, 400)}; ${advice}`, { cause });
}
