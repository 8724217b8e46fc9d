/**
 * What a router knows of a request's prompt: its tokens, where the router has the model's tokenizer, or else its text.
 * Why: docs/decisions/cluster.md#the-router-reads-prompts-as-instances-do
 */
import { CodedError } from '../../../../base/coded_error.js';
import type { KnownPrompt } from '../../routing/prompt_keys.js';
import { withExactNumbers } from '../../../server/http/exact_numbers.js';
import { chatRequest, type MessageInput } from '../../../server/openai/requests/chat_request.js';
import { completionRequest, promptsOf } from '../../../server/openai/requests/completion_request.js';
import type { Prompt, Prompts } from '../../../server/openai/requests/prompts.js';
import { responsesRequest } from '../../../server/openai/requests/responses_request.js';
import type { Asked, Endpoint, Fields } from './asked.js';

/** The model whose tokenizer the router has. */
export interface ReadableModel {
  /** As requests name it. */
  readonly name: string;
  readonly prompts: Prompts;
}

/** Null: the request isn't what the endpoint takes. */
type Reading = (fields: Fields, prompts: Prompts, signal: AbortSignal) => Promise<Prompt> | null;

/** Reads the prompts of requests. What is wrong with them, their instance says. */
export class PromptReader {
  /** @param model null: texts will do, or there is no tokenizer */
  constructor(private readonly model: ReadableModel | null) {}

  /** @param name of the model that is asked @throws the signal's reason */
  async read({ endpoint, fields, body }: Asked, name: string, signal: AbortSignal): Promise<KnownPrompt> {
    if (endpoint === null || body === null) return { text: '' };
    if (this.model?.name !== name) return { text: textOf(fields) };
    try {
      const exact = withExactNumbers(fields, body.toString()) as Fields;
      const prompt = await READINGS[endpoint](exact, this.model.prompts, signal);
      return prompt === null ? { text: textOf(fields) } : { tokens: prompt.tokenIds };
    } catch (error) {
      if (!(error instanceof CodedError) || signal.aborted) throw error;
      return { text: textOf(fields) };
    }
  }
}

/** As the endpoints of lib/server/openai read them. */
const READINGS: Readonly<Record<Endpoint, Reading>> = {
  '/v1/completions': (fields, prompts, signal) => {
    const { data } = completionRequest.safeParse(fields);
    if (data === undefined) return null;
    const { add_special_tokens: special, truncate_prompt_tokens: truncate } = data;
    return prompts.read(promptsOf(data)[0] ?? [], { addSpecialTokens: special ?? true, truncate, signal });
  },
  '/v1/chat/completions': (fields, prompts, signal) => {
    const { data } = chatRequest.safeParse(fields);
    if (data === undefined) return null;
    const { add_special_tokens: special, truncate_prompt_tokens: truncate, reasoning_effort: effort } = data;
    const variables = effort != null && { variables: { reasoning_effort: effort } };
    return prompts.chat(data, { addSpecialTokens: special ?? false, truncate, signal, ...variables });
  },
  '/v1/responses': (fields, prompts, signal) => {
    const { data } = responsesRequest.safeParse(fields);
    if (data === undefined) return null;
    const { input, instructions } = data;
    const said: readonly MessageInput[] = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
    const system = instructions == null ? [] : [{ role: 'system', content: instructions }];
    return prompts.chat({ messages: [...system, ...said] }, { signal });
  },
};

/** Texts that begin alike are prompts that begin alike. */
function textOf({ prompt, messages, instructions, input }: Fields): string {
  const said = prompt ?? messages ?? [instructions ?? '', input];
  return typeof said === 'string' ? said : JSON.stringify(said);
}
