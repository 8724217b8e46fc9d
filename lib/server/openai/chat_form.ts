/** What comes of choices, as POST /v1/chat/completions tells it. */
import type { ChatRequest } from './requests/chat_request.js';
import type { Delta } from './requests/choice_deltas.js';
import type { AnswerHead } from '../journal/kept_request.js';
import { moreOf, promptLogprobsOf } from './completion_form.js';
import { chatLogprobs } from './logprobs.js';
import type { TokenNames } from './token_names.js';
import type { Usage } from './usage.js';

/** Makes the answers to one request. */
export class ChatForm {
  /** Choices whose first chunk was sent. */
  private readonly begun = new Set<number>();

  constructor(
    private readonly head: AnswerHead,
    private readonly request: Omit<ChatRequest, 'messages'>,
    private readonly names: TokenNames,
  ) {}

  /** A whole answer. */
  answer(deltas: readonly Delta[], usage: Usage): object {
    const { request, names, head } = this;
    const choices = deltas.map((delta) => ({
      index: delta.choice.index,
      message: { role: 'assistant', content: delta.text, refusal: null },
      ...this.rest(delta),
    }));
    return {
      ...{ id: head.id, object: 'chat.completion', created: head.created, model: head.model },
      choices,
      usage,
      ...(request.return_token_ids === true && { prompt_token_ids: deltas[0]!.choice.prompt.tokenIds }),
      ...(request.prompt_logprobs != null && { prompt_logprobs: promptLogprobsOf(deltas[0]!, request, names) }),
    };
  }

  /** Pieces of an answer: first who speaks, then what came. `usage`: null where pieces have none. */
  chunks(deltas: readonly Delta[], usage: Usage | null): object[] {
    return deltas.flatMap((delta) => {
      const { index } = delta.choice;
      const isFirst = !this.begun.has(index);
      this.begun.add(index);
      const opening = { index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null };
      const piece = { index, delta: delta.text === '' ? {} : { content: delta.text }, ...this.rest(delta) };
      const promptTokens = this.request.return_token_ids === true && { prompt_token_ids: delta.choice.prompt.tokenIds };
      return [
        ...(isFirst ? [{ ...this.chunk([opening], usage), ...promptTokens }] : []),
        ...(delta.tokens.length > 0 || delta.end !== null || delta.text !== '' ? [this.chunk([piece], usage)] : []),
      ];
    });
  }

  /** A piece with these choices. */
  chunk(choices: readonly object[], usage: Usage | null): object {
    const { id, created, model } = this.head;
    return { id, object: 'chat.completion.chunk', created, model, choices, ...(usage !== null && { usage }) };
  }

  private rest(delta: Delta): object {
    const { request, names } = this;
    const { tokens, end } = delta;
    return {
      logprobs: request.logprobs === true ? { content: chatLogprobs(tokens, names), refusal: null } : null,
      finish_reason: end?.reason ?? null,
      stop_reason: end?.stoppedBy ?? null,
      ...(request.return_token_ids === true && { token_ids: tokens.map(({ tokenId }) => tokenId) }),
      ...moreOf(delta, request),
    };
  }
}
