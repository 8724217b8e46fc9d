import type { AnswerNews, AnswerSource } from '../../../lib/commands/chat/answers/answer.js';
import type { ChatMessage } from '../../../lib/tokenizer/chat_template.js';

/** What happens next in an answer: news of it, an error, or nothing until it is stopped. */
export type Act = AnswerNews | Error | 'hang';

/** Says what it was told to, and remembers what it was asked. */
export class PlayedSource implements AnswerSource {
  noExperts: string | null = null;
  failure: Error | null = null;
  readonly asked: (readonly ChatMessage[])[] = [];

  /** The n-th answer is the n-th list; the last one is said again. */
  constructor(private readonly answers: readonly (readonly Act[])[]) {}

  async *answer(messages: readonly ChatMessage[], signal: AbortSignal): AsyncGenerator<AnswerNews, void, undefined> {
    const acts = this.answers[Math.min(this.asked.length, this.answers.length - 1)]!;
    this.asked.push(messages);
    for (const act of acts) {
      if (act instanceof Error) throw act;
      if (act !== 'hang') yield act;
      else if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      if (signal.aborted) break;
    }
    yield { kind: 'finished', reason: signal.aborted ? null : 'stop' };
  }
}

/** A piece of an answer. */
export const said = (text: string): AnswerNews => ({ kind: 'text', text });
export const thought = (text: string): AnswerNews => ({ kind: 'thinking', text });
