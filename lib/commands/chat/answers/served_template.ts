import * as z from 'zod';
import { tokenText } from '../../../page/state/token_text.js';
import type { ServerConnection } from './server_connection.js';
import { isThinkingBegun, thinkingStyleOf, type ThinkingStyle } from './thinking.js';

const infoSchema = z.looseObject({ chat_template: z.string().optional() });
const tokenizedSchema = z.looseObject({ token_strs: z.array(z.string()) });

/** Of a prompt's last tokens, in which the mark that begins the thinking is. */
const NUM_LAST_TOKENS = 8;

/** How the model of an `expertwire serve` marks what it thinks: servers of others tell thoughts by themselves. */
export class ServedTemplate {
  /** @throws ChatError NO_SERVER, SERVER_REFUSED */
  static async read(
    connection: ServerConnection,
    model: string,
    fields: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<ServedTemplate> {
    const info = infoSchema.safeParse(await connection.json('GET', '../../tokenizer_info', null, signal));
    return new ServedTemplate(connection, model, fields, info.data?.chat_template);
  }

  readonly style: ThinkingStyle;

  private constructor(
    private readonly connection: ServerConnection,
    private readonly model: string,
    private readonly fields: Readonly<Record<string, unknown>>,
    private readonly template: string | undefined,
  ) {
    this.style = thinkingStyleOf(template);
  }

  /** Whether the prompt ends inside of a thought. @throws ChatError NO_SERVER, SERVER_REFUSED */
  async beginsThinking(messages: readonly object[], signal: AbortSignal): Promise<boolean> {
    if (!/<think>|\[THINK\]/.test(this.template ?? '')) return false;
    const { chat_template_kwargs } = this.fields;
    const body = { model: this.model, messages, chat_template_kwargs, return_token_strs: true };
    const tokenized = tokenizedSchema.safeParse(await this.connection.json('POST', '../../tokenize', body, signal));
    const names = tokenized.data?.token_strs ?? [];
    return isThinkingBegun(names.slice(-NUM_LAST_TOKENS).map(tokenText).join(''));
  }
}
