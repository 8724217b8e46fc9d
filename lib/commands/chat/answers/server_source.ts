import * as z from 'zod';
import { printable, jsonOrUndefined } from '../../../../base/foreign_text.js';
import type { ChatMessage } from '../../../tokenizer/chat_template.js';
import type { AnswerNews, AnswerSource } from './answer.js';
import { ChatError } from './errors.js';
import { ServedTemplate } from './served_template.js';
import { ServerAnswer } from './server_answer.js';
import { bodyOf, type ServerConnection } from './server_connection.js';
import { THINK_TAGS } from './thinking.js';

const modelsSchema = z.looseObject({
  data: z.array(z.looseObject({ id: z.string(), owned_by: z.string().nullish() })).min(1),
});

/** A server answers. */
export class ServerSource implements AnswerSource {
  readonly failure = null;
  private served: ServedTemplate | null = null;

  /**
   * Looks which models a server has. `model`: undefined: the first of them. `fields`: what else requests have.
   * @throws ChatError NO_SERVER, SERVER_REFUSED
   */
  static async open(
    connection: ServerConnection,
    model: string | undefined,
    fields: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<ServerSource> {
    const response = await connection.send('GET', 'models', null, signal);
    if (response.statusCode !== 200) {
      if (model === undefined || response.statusCode === 401) throw await connection.refusal(response);
      response.destroy();
      return new ServerSource(connection, model, fields, false);
    }
    const offered = modelsSchema.safeParse(jsonOrUndefined(await bodyOf(response))).data?.data ?? [];
    const found = model === undefined ? offered[0] : offered.find(({ id }) => id === model);
    const name = model ?? found?.id;
    if (name === undefined) {
      throw new ChatError('NO_SERVER', `${connection.url} lists no models; give --model, the name of one there`);
    }
    return new ServerSource(connection, name, fields, found?.owned_by === 'expertwire');
  }

  private constructor(
    private readonly connection: ServerConnection,
    readonly model: string,
    private readonly fields: Readonly<Record<string, unknown>>,
    /** It tells the experts of its tokens. */
    private readonly isExpertwire: boolean,
  ) {}

  get noExperts(): string | null {
    if (this.isExpertwire) return null;
    return `${printable(this.connection.url)} tells no experts; expertwire serve does, and an engine of your own`;
  }

  /** @throws ChatError */
  async *answer(messages: readonly ChatMessage[], signal: AbortSignal): AsyncGenerator<AnswerNews, void, undefined> {
    const own = messages.map(withoutThoughts);
    let answer = new ServerAnswer(THINK_TAGS);
    try {
      const template = this.isExpertwire ? await this.template(signal) : null;
      if (template !== null) answer = new ServerAnswer(template.style, await template.beginsThinking(own, signal));
      const body = this.bodyFor(own, template);
      const response = await this.connection.send('POST', 'chat/completions', body, signal);
      if (response.statusCode !== 200) throw await this.connection.refusal(response);
      const type = response.headers['content-type'] ?? '';
      if (type.startsWith('application/json')) {
        yield* answer.whole(await bodyOf(response));
        return;
      }
      if (!type.startsWith('text/event-stream')) throw notStream(type);
      for await (const piece of response.setEncoding('utf8')) yield* answer.feed(piece as string);
    } catch (error) {
      if (!signal.aborted) throw error instanceof ChatError ? error : cutOff(error);
    }
    yield* answer.end({ isStopped: signal.aborted });
  }

  private async template(signal: AbortSignal): Promise<ServedTemplate> {
    this.served ??= await ServedTemplate.read(this.connection, this.model, this.fields, signal);
    return this.served;
  }

  private bodyFor(messages: readonly object[], template: ServedTemplate | null): object {
    // Log-probabilities come with the text of each token; a chunk may have several.
    const experts = this.isExpertwire ? { return_routed_experts: true, logprobs: true } : {};
    const marks = template?.style.isSpecial === true ? { skip_special_tokens: false } : {};
    return { model: this.model, messages, stream: true, ...experts, ...marks, ...this.fields };
  }
}

/** Some servers refuse a message that has more than they know. */
const withoutThoughts = (message: ChatMessage): object =>
  Object.fromEntries(Object.entries(message).filter(([field]) => field !== 'reasoning_content'));

const notStream = (type: string): ChatError =>
  new ChatError(
    'ANSWER_BROKEN',
    `the server answers with ${printable(type === '' ? 'no type' : type)}, not with events; look at --url`,
  );

const cutOff = (cause: unknown): ChatError =>
  new ChatError(
    'ANSWER_BROKEN',
    'the connection broke in the middle of the answer; ask again, or look at the log of the server',
    { cause },
  );
