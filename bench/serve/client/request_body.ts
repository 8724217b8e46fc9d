/** Requests as JSON. Pure. */
import type { Prompt } from '../load/conversation.js';
import type { Endpoint } from '../load/endpoint.js';

/** What all requests of a load have in common. */
export interface BodyOptions {
  readonly endpoint: Endpoint;
  readonly model: string;
  readonly temperature: number;
  /** Answers are as long as asked for. */
  readonly ignoreEos: boolean;
  /** The server is asked for the answer's token ids, for prompts of later turns. */
  readonly wantsTokenIds: boolean;
  /** Further fields, which win. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** The bytes of a request. */
export function requestBody(prompt: Prompt, maxTokens: number, options: BodyOptions): Buffer {
  const { endpoint, model, temperature, ignoreEos, wantsTokenIds, extra } = options;
  const asked = endpoint === 'chat' ? { max_completion_tokens: maxTokens } : { max_tokens: maxTokens };
  const body = {
    model,
    ...promptFields(prompt),
    ...asked,
    temperature,
    stream: true,
    stream_options: { include_usage: true },
    ...(ignoreEos && { ignore_eos: true }),
    ...(wantsTokenIds && { return_token_ids: true }),
    ...extra,
  };
  return Buffer.from(JSON.stringify(body));
}

function promptFields(prompt: Prompt): object {
  switch (prompt.kind) {
    case 'tokens':
      return { prompt: Array.from(prompt.tokenIds) };
    case 'text':
      return { prompt: prompt.text };
    case 'messages':
      return { messages: prompt.messages };
  }
}
