/** Runs a prompt on the server, with the experts of every token. */
import { PageError } from './errors.js';
import { callServer, eventsOf, type ServerCall } from './server_calls.js';
import { tokenText } from './token_text.js';
import { TokenTrace } from './token_trace.js';

/** What is asked. */
export interface PromptRequest {
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
  readonly temperature: number;
}

/** What a run came to so far. */
export interface PromptRun {
  readonly trace: TokenTrace;
  /** Why it ended; null: it goes on. */
  readonly finishReason: string | null;
}

interface Tokenized {
  readonly tokens: readonly number[];
  readonly token_strs: readonly string[];
}

interface CompletionChunk {
  readonly choices: readonly {
    readonly text: string;
    readonly finish_reason: string | null;
    readonly token_ids?: readonly number[] | null;
    readonly routed_experts?: readonly (readonly (readonly number[])[])[] | null;
  }[];
  readonly error?: { readonly message: string };
}

/** Tells what a run came to after each event. @throws PageError */
export async function* runPrompt(
  { model, prompt, maxTokens, temperature }: PromptRequest,
  call: ServerCall,
): AsyncGenerator<PromptRun, void, undefined> {
  const tokenized = await callServer('tokenize', call, { model, prompt, return_token_strs: true });
  const { tokens, token_strs: names } = (await tokenized.json()) as Tokenized;
  let trace = TokenTrace.ofPrompt(names.map(tokenText));
  yield { trace, finishReason: null };
  const sampling = { max_tokens: maxTokens, temperature };
  const wishes = { stream: true, return_routed_experts: true, return_token_ids: true };
  // Token ids, so that the experts of the prompt belong to the texts above.
  const response = await callServer('v1/completions', call, { model, prompt: tokens, ...sampling, ...wishes });
  for await (const { data } of eventsOf(response)) {
    if (data === '[DONE]') return;
    const { choices, error } = JSON.parse(data) as CompletionChunk;
    if (error !== undefined) throw new PageError('REFUSED', error.message);
    const [choice] = choices;
    if (choice === undefined) continue; // usage
    const { text, token_ids: tokenIds, routed_experts: rows, finish_reason: finishReason } = choice;
    trace = trace.received({ numTokens: tokenIds?.length ?? 0, text, rows: rows ?? [] });
    yield { trace, finishReason };
  }
}
