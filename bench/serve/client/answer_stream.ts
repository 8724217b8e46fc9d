/** The events of a streamed answer, as they arrive: when tokens came, how many, and what went wrong. No I/O. */
import { createParser, type EventSourceParser } from 'eventsource-parser';
import * as z from 'zod';
import { printable, shown, jsonOrUndefined } from '../../../base/foreign_text.js';
import type { Answered, Failure, Usage } from './outcome.js';

/** Of one event, and of a whole answer that is kept: no token stream of a benchmark has more. */
const MAX_EVENT_CHARS = 2 ** 22;
const MAX_ANSWER_CHARS = 2 ** 24;

const count = z.int().min(0);
const usageSchema = z.looseObject({
  prompt_tokens: count,
  completion_tokens: count.optional(),
  prompt_tokens_details: z.looseObject({ cached_tokens: count.nullish() }).nullish(),
});
const text = z.string().nullish();
const choiceSchema = z.looseObject({
  text,
  delta: z
    .looseObject({ content: text, reasoning_content: text, reasoning: text, tool_calls: z.unknown().optional() })
    .nullish(),
  finish_reason: z.string().nullish(),
  token_ids: z.array(count).nullish(),
});
const eventSchema = z.looseObject({
  choices: z.array(choiceSchema).nullish(),
  usage: usageSchema.nullish(),
  error: z.unknown().optional(),
});

type Choice = z.infer<typeof choiceSchema>;

/** Takes the text of one answer piece by piece. */
export class AnswerStream {
  private readonly parser: EventSourceParser;
  private readonly chunkMs: number[] = [];
  private readonly texts: string[] = [];
  private numChars = 0;
  private tokenIds: number[] | null = null;
  private usage: Usage | null = null;
  /** Of the chunk that ended the answer, with or without a token. */
  private finishMs: number | null = null;
  private isDone = false;
  private failure: Failure | null = null;
  private nowMs = 0;

  /** `keepsText`: the answer's text is wanted, for the next turn of a conversation. */
  constructor(private readonly keepsText: boolean) {
    this.parser = createParser({
      onEvent: ({ data }) => this.take(data),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') this.fail(`an event has over ${MAX_EVENT_CHARS} characters`);
      },
      maxBufferSize: MAX_EVENT_CHARS,
    });
  }

  /** What arrived at `atMs`. Returns what is wrong with the answer, as soon as that is known. */
  feed(piece: string, atMs: number): Failure | null {
    if (this.failure !== null) return this.failure;
    this.nowMs = atMs;
    this.parser.feed(piece);
    return this.failure;
  }

  /** The connection has no more. */
  end(): { readonly answer: Answered; readonly failure: null } | { readonly answer: null; readonly failure: Failure } {
    if (this.failure === null && !this.isDone) this.parser.feed('\n\n');
    const failure = this.failure ?? this.lacking();
    if (failure !== null) return { answer: null, failure };
    const chunkMs = this.chunkMs.length === 0 ? [this.finishMs!] : this.chunkMs;
    return {
      answer: { chunkMs, usage: this.usage, text: this.texts.join(''), tokenIds: this.tokenIds },
      failure: null,
    };
  }

  private lacking(): Failure | null {
    if (!this.isDone)
      return { kind: 'cut', reason: `the stream ended without [DONE], after ${this.chunkMs.length} chunks` };
    // A token that ended the sequence, and nothing else, shows no text.
    const hasToken = this.chunkMs.length > 0 || (this.finishMs !== null && (this.usage?.completionTokens ?? 0) > 0);
    return hasToken ? null : { kind: 'empty', reason: 'the stream has no token' };
  }

  private take(data: string): void {
    if (this.failure !== null || this.isDone) return;
    if (data === '[DONE]') {
      this.isDone = true;
      return;
    }
    const event = eventSchema.safeParse(jsonOrUndefined(data)).data;
    if (event === undefined) return this.fail(`the event ${shown(data)} is no chunk of an answer`);
    if (event.error != null) {
      this.failure = { kind: 'error event', reason: errorText(event.error) };
      return;
    }
    const [choice] = event.choices ?? [];
    if (choice !== undefined) this.takeChoice(choice);
    if (event.usage != null) this.usage = usageOf(event.usage);
  }

  private takeChoice(choice: Choice): void {
    if (choice.token_ids != null) this.takeIds(choice.token_ids);
    if (choice.finish_reason != null) this.finishMs = this.nowMs;
    if (!hasTokens(choice)) return;
    this.chunkMs.push(this.nowMs);
    if (!this.keepsText) return;
    const piece = textOf(choice);
    this.numChars += piece.length;
    if (this.numChars > MAX_ANSWER_CHARS) return this.fail(`the answer has over ${MAX_ANSWER_CHARS} characters`);
    this.texts.push(piece);
  }

  /** Not all at once: a server may send more than a call takes. */
  private takeIds(tokenIds: readonly number[]): void {
    this.tokenIds ??= [];
    if (this.tokenIds.length + tokenIds.length > MAX_ANSWER_CHARS)
      return this.fail(`the answer has over ${MAX_ANSWER_CHARS} tokens`);
    for (const id of tokenIds) this.tokenIds.push(id);
  }

  private fail(reason: string): void {
    this.failure ??= { kind: 'malformed', reason };
  }
}

/** What a server says in an error, wherever it stands. */
export function errorText(error: unknown): string {
  const { data } = errorSchema.safeParse(error);
  return data === undefined ? shown(error) : printable(typeof data === 'string' ? data : data.message);
}

const errorSchema = z.union([z.string(), z.looseObject({ message: z.string() })]);

const textOf = ({ text: plain, delta }: Choice): string => plain ?? delta?.content ?? '';

/**
 * Whether a chunk came of a token. An empty text does too, where a character or a stop string is incomplete; neither what only names the role of a chat's
 * answer, nor what only says why the answer ended.
 * Why: docs/decisions/measuring.md#a-chunk-without-a-token-is-no-token
 */
function hasTokens({ text: plain, delta, finish_reason, token_ids }: Choice): boolean {
  if (token_ids != null) return token_ids.length > 0;
  if (delta != null) {
    const { content, reasoning_content, reasoning, tool_calls } = delta;
    if ([content, reasoning_content, reasoning].some((each) => each != null && each !== '') || tool_calls != null)
      return true;
    return content === '' && finish_reason == null && !('role' in delta);
  }
  return plain != null && (plain !== '' || finish_reason == null);
}

function usageOf({ prompt_tokens, completion_tokens = 0, prompt_tokens_details }: z.infer<typeof usageSchema>): Usage {
  return {
    promptTokens: prompt_tokens,
    completionTokens: completion_tokens,
    cachedTokens: prompt_tokens_details?.cached_tokens ?? null,
  };
}
