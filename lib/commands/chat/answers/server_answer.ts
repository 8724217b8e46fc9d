/** A server's answer, as its text arrives: events of OpenAI's chats, with what vLLM and expertwire add. No I/O. */
import { createParser, type EventSourceParser } from 'eventsource-parser';
import * as z from 'zod';
import { printable, shown, jsonOrUndefined } from '../../../../base/foreign_text.js';
import type { AnswerNews } from './answer.js';
import { ChatError } from './errors.js';
import { ThinkingSplitter, type ThinkingStyle } from './thinking.js';

/** Of one event: experts of a long prompt come in one. */
const MAX_EVENT_CHARS = 2 ** 27;

const text = z.string().nullish();
const said = z.looseObject({ content: text, reasoning_content: text, reasoning: text }).nullish();
const choiceSchema = z.looseObject({
  delta: said,
  message: said, // of a server that doesn't stream
  finish_reason: text,
  logprobs: z.looseObject({ content: z.array(z.looseObject({ token: z.string() })).nullish() }).nullish(),
  routed_experts: z.array(z.array(z.array(z.int().min(0)))).nullish(),
});
const eventSchema = z.looseObject({ choices: z.array(choiceSchema).nullish(), error: z.unknown().optional() });
const errorSchema = z.union([z.string(), z.looseObject({ message: z.string() })]);

/** What a server says in an error, wherever it stands. */
export function serverErrorText(error: unknown): string {
  const { data } = errorSchema.safeParse(error);
  return data === undefined ? shown(error) : printable(typeof data === 'string' ? data : data.message, MAX_ERROR_CHARS);
}

const MAX_ERROR_CHARS = 400;

/** Takes the text of one answer. */
export class ServerAnswer {
  private readonly parser: EventSourceParser;
  private readonly splitter: ThinkingSplitter;
  private readonly news: AnswerNews[] = [];
  private reason: string | null = null;
  private isDone = false;

  /** `isThinkingBegun`: the prompt ends with the mark that begins the thinking. */
  constructor(style: ThinkingStyle, isThinkingBegun = false) {
    this.splitter = new ThinkingSplitter(style, isThinkingBegun);
    this.parser = createParser({
      onEvent: ({ data }) => this.take(data),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') throw broken(`an event has over ${MAX_EVENT_CHARS} characters`);
      },
      maxBufferSize: MAX_EVENT_CHARS,
    });
  }

  /** More of the stream. @throws ChatError SERVER_REFUSED, ANSWER_BROKEN */
  feed(piece: string): readonly AnswerNews[] {
    this.parser.feed(piece);
    return this.news.splice(0);
  }

  /** The stream has no more, or nobody wanted the rest. @throws ChatError ANSWER_BROKEN */
  end({ isStopped }: { readonly isStopped: boolean }): readonly AnswerNews[] {
    if (!isStopped && !this.isWhole()) this.parser.feed('\n\n');
    if (!isStopped && !this.isWhole()) throw broken('it ended before the answer did');
    return [...this.news.splice(0), ...this.splitter.end(), { kind: 'finished', reason: this.reason }];
  }

  /** An answer in one piece. @throws ChatError SERVER_REFUSED, ANSWER_BROKEN */
  whole(body: string): readonly AnswerNews[] {
    this.take(body);
    this.isDone = true;
    return this.end({ isStopped: false });
  }

  /** Some servers end without [DONE]. */
  private isWhole(): boolean {
    return this.isDone || this.reason !== null;
  }

  private take(data: string): void {
    if (this.isDone) return;
    if (data === '[DONE]') {
      this.isDone = true;
      return;
    }
    const event = eventSchema.safeParse(jsonOrUndefined(data)).data;
    if (event === undefined) throw broken(`${shown(data)} is no part of an answer`);
    if (event.error != null)
      throw new ChatError('SERVER_REFUSED', `the server broke off: ${serverErrorText(event.error)}`);
    const [choice] = event.choices ?? [];
    if (choice !== undefined) this.takeChoice(choice);
  }

  private takeChoice({ delta, message, finish_reason, logprobs, routed_experts }: z.infer<typeof choiceSchema>): void {
    const { content, reasoning_content, reasoning } = delta ?? message ?? {};
    const thinking = reasoning_content ?? reasoning ?? '';
    if (thinking !== '') this.news.push({ kind: 'thinking', text: thinking });
    if (content != null) this.news.push(...this.splitter.push(content));
    const texts = splitText(`${thinking}${content ?? ''}`, logprobs?.content?.map(({ token }) => token) ?? []);
    if (texts.length > 0 || routed_experts != null) {
      this.news.push({ kind: 'routed', routed: { texts, rows: routed_experts ?? [] } });
    }
    this.reason = finish_reason ?? this.reason;
  }
}

/** The text of each token: where a name isn't what comes next, the token is part of a character, or its text is held back; the last one has what is left. */
function splitText(whole: string, names: readonly string[]): readonly string[] {
  let rest = whole;
  return names.map((name, i) => {
    const isNext = rest.startsWith(name);
    const own = i === names.length - 1 ? rest : isNext ? name : '';
    rest = rest.slice(own.length);
    return own;
  });
}

const broken = (what: string): ChatError =>
  new ChatError('ANSWER_BROKEN', `the server's stream: ${what}; ask again, or look at its log`);
