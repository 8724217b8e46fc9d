/** What comes of a choice, as POST /v1/responses tells it: one message of text, whole or in OpenAI's events. */
import { ApiError } from '../base/api_error.js';
import { namedFrame } from '../http/event_stream.js';
import type { Delta } from './requests/choice_deltas.js';
import type { AnswerHead } from '../journal/kept_request.js';
import { chatLogprobs, type ChatLogprob } from './logprobs.js';
import { LOGPROBS_INCLUDE, type ResponsesRequest } from './requests/responses_request.js';
import type { TokenNames } from './token_names.js';
import type { Usage } from './usage.js';

/** How far a response is. */
type Status = 'in_progress' | 'completed' | 'incomplete' | 'failed';

/** Makes the answer to one request, or the events in which it comes. */
export class ResponseForm {
  private sequence = 0;
  private text = '';
  private readonly logprobs: ChatLogprob[] = [];
  private end: Delta['end'] = null;
  private readonly itemId: string;
  private readonly place: object;

  /** `sampling`: temperature and top_p in force. */
  constructor(
    private readonly head: AnswerHead,
    private readonly request: Omit<ResponsesRequest, 'input'>,
    private readonly names: TokenNames,
    private readonly sampling: { readonly temperature: number; readonly top_p: number },
  ) {
    this.itemId = head.id.replace(/^resp/, 'msg');
    this.place = { item_id: this.itemId, output_index: 0, content_index: 0 };
  }

  /** The whole answer. */
  answer(delta: Delta, usage: Usage): object {
    this.take(delta);
    return this.response(this.finalStatus, usage);
  }

  /** The events before any text. */
  opening(): string {
    return [
      this.event('response.created', { response: this.response('in_progress', null) }),
      this.event('response.in_progress', { response: this.response('in_progress', null) }),
      this.event('response.output_item.added', { output_index: 0, item: this.item('in_progress', []) }),
      this.event('response.content_part.added', { ...this.place, part: this.part('', []) }),
    ].join('');
  }

  /** The event of a piece of text; '' where there is none yet. */
  piece(delta: Delta): string {
    const logprobs = this.take(delta);
    if (delta.text === '' && logprobs.length === 0) return '';
    return this.event('response.output_text.delta', { ...this.place, delta: delta.text, logprobs });
  }

  /** The events after the last piece. */
  closing(usage: Usage): string {
    const { text, logprobs, finalStatus: status } = this;
    return [
      this.event('response.output_text.done', { ...this.place, text, logprobs }),
      this.event('response.content_part.done', { ...this.place, part: this.part(text, logprobs) }),
      this.event('response.output_item.done', { output_index: 0, item: this.message(status) }),
      this.event(`response.${status}`, { response: this.response(status, usage) }),
    ].join('');
  }

  /** The event of an error, after which nothing comes. */
  failing(error: ApiError): string {
    const { code, message } = error.body.error;
    return this.event('response.failed', { response: { ...this.response('failed', null), error: { code, message } } });
  }

  private get finalStatus(): Status {
    return this.end?.reason === 'length' ? 'incomplete' : 'completed';
  }

  private get wantsLogprobs(): boolean {
    const { include } = this.request;
    return Array.isArray(include) && include.includes(LOGPROBS_INCLUDE);
  }

  private take({ text, tokens, end }: Delta): readonly ChatLogprob[] {
    const logprobs = this.wantsLogprobs ? chatLogprobs(tokens, this.names) : [];
    this.text += text;
    for (const each of logprobs) this.logprobs.push(each);
    this.end ??= end;
    return logprobs;
  }

  private event(type: string, fields: object): string {
    return namedFrame(type, { type, sequence_number: this.sequence++, ...fields });
  }

  private response(status: Status, usage: Usage | null): object {
    const { head, request, sampling } = this;
    const isOver = status === 'completed' || status === 'incomplete';
    return {
      ...{ id: head.id, object: 'response', created_at: head.created, status, model: head.model },
      ...(isOver && { completed_at: Math.floor(Date.now() / 1000) }),
      ...{
        background: false,
        error: null,
        instructions: request.instructions ?? null,
        metadata: request.metadata ?? {},
      },
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      max_output_tokens: request.max_output_tokens ?? null,
      output: isOver ? [this.message(status)] : [],
      ...{
        parallel_tool_calls: true,
        previous_response_id: null,
        reasoning: { effort: null, summary: null },
        store: false,
      },
      ...{ temperature: sampling.temperature, top_p: sampling.top_p, top_logprobs: request.top_logprobs ?? 0 },
      ...{ text: { format: { type: 'text' } }, tool_choice: 'none', tools: [], truncation: 'disabled' },
      usage: usage && responseUsage(usage),
      user: request.user ?? null,
    };
  }

  private message(status: Status): object {
    return this.item(status, [this.part(this.text, this.logprobs)]);
  }

  private item(status: Status, content: readonly object[]): object {
    return { id: this.itemId, type: 'message', status, role: 'assistant', content };
  }

  private part(text: string, logprobs: readonly ChatLogprob[]): object {
    return { type: 'output_text', text, annotations: [], logprobs };
  }
}

const responseUsage = ({ prompt_tokens: input, completion_tokens: output, ...rest }: Usage): object => ({
  input_tokens: input,
  input_tokens_details: { cached_tokens: rest.prompt_tokens_details.cached_tokens },
  output_tokens: output,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: rest.total_tokens,
});
