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
    readonly logprobs?: { readonly tokens: readonly string[] } | null;
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
  // Log-probabilities come with the text of each token; a chunk may have several.
  const wishes = { stream: true, return_routed_experts: true, logprobs: 0 };
  // Token ids, so that the experts of the prompt belong to the texts above.
  const response = await callServer('v1/completions', call, { model, prompt: tokens, ...sampling, ...wishes });
  for await (const { data } of eventsOf(response)) {
    if (data === '[DONE]') return;
    const { choices, error } = JSON.parse(data) as CompletionChunk;
    if (error !== undefined) throw new PageError('REFUSED', error.message);
    const [choice] = choices;
    if (choice === undefined) continue; // usage
    const { text, logprobs, routed_experts: rows, finish_reason: finishReason } = choice;
    trace = trace.received({ ...splitText(text, logprobs?.tokens ?? []), rows: rows ?? [] });
    yield { trace, finishReason };
  }
}

/** The text of each of several tokens, which come with their names: where a name isn't what comes next, the token is part of a character, or its text is held back. */
function splitText(
  text: string,
  names: readonly string[],
): { readonly texts: readonly string[]; readonly rest: string } {
  let rest = text;
  const texts = names.map((name) => {
    if (!rest.startsWith(name)) return '';
    rest = rest.slice(name.length);
    return name;
  });
  return { texts, rest };
}
