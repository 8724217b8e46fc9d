/** A client of OpenAI's API that takes note of how it fared. */
import { createParser } from 'eventsource-parser';

/** What a client has in the end. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** Nothing is missing, as far as the server says. */
  readonly isWhole: boolean;
  /** What it was told instead of the rest, or what became of its connection. */
  readonly error: string | null;
}

interface Choice {
  readonly text?: string;
  readonly delta?: { readonly content?: string };
  readonly message?: { readonly content?: string };
  readonly token_ids?: readonly number[];
  readonly finish_reason?: string | null;
}

interface Body {
  readonly choices?: readonly Choice[];
  readonly error?: { readonly code?: string; readonly message?: string };
}

/** `onToken`: told how many tokens it has, where it says that it wants their ids. */
export interface AskOptions {
  readonly path?: string;
  readonly id?: string;
  readonly signal?: AbortSignal;
  readonly onToken?: (numTokens: number) => void;
}

/** Asks, and never rejects. */
export async function ask(url: string, body: object, options: AskOptions = {}): Promise<Answer> {
  const { path = '/v1/completions', id, signal, onToken = () => undefined } = options;
  const answer: { -readonly [K in keyof Answer]: Answer[K] } & { tokenIds: number[] } = {
    ...{ status: 0, text: '', tokenIds: [], isWhole: false, error: null },
  };
  const take = ({ choices = [], error }: Body): void => {
    if (error !== undefined) answer.error = `${error.code}: ${error.message}`;
    for (const { text, delta, message, token_ids: tokenIds = [] } of choices) {
      answer.text += text ?? delta?.content ?? message?.content ?? '';
      answer.tokenIds.push(...tokenIds);
      if (tokenIds.length > 0) onToken(answer.tokenIds.length);
    }
  };
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') answer.isWhole = true;
      else take(JSON.parse(data) as Body);
    },
  });
  try {
    const response = await fetch(url + path, {
      ...{ method: 'POST', body: JSON.stringify(body), signal: signal ?? null },
      headers: { 'content-type': 'application/json', ...(id !== undefined && { 'x-request-id': id }) },
    });
    answer.status = response.status;
    if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
      for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) parser.feed(piece);
    } else {
      take((await response.json()) as Body);
      answer.isWhole = response.ok;
    }
  } catch (error) {
    answer.error = String(error);
  }
  return answer;
}
