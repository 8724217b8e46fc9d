/** Requests to the server that the page came from. */
import { EventSourceParserStream } from 'eventsource-parser/stream';
import { PageError } from './errors.js';

/** How the server is asked. */
export interface ServerCall {
  readonly fetch: typeof fetch;
  /** The API key; null: none. */
  readonly key: string | null;
  readonly signal?: AbortSignal;
}

/** One event of a stream: its name, and its data as text. */
export interface StreamedEvent {
  readonly name: string;
  readonly data: string;
}

/**
 * Asks for `path`, relative to the page: a POST with a body of JSON where there is one, else a GET.
 * @throws PageError NO_KEY, REFUSED with the server's own words, DISCONNECTED
 */
export async function callServer(path: string, call: ServerCall, body?: object): Promise<Response> {
  const response = await call
    .fetch(path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(call.key !== null && { authorization: `Bearer ${call.key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(call.signal !== undefined && { signal: call.signal }),
      credentials: 'omit',
    })
    .catch((cause: unknown) => {
      throw disconnected(cause);
    });
  if (response.ok) return response;
  const text = await reasonOf(response);
  throw new PageError(response.status === 401 ? 'NO_KEY' : 'REFUSED', text);
}

/** The events of an answer. @throws PageError DISCONNECTED where it breaks off */
export async function* eventsOf(response: Response): AsyncGenerator<StreamedEvent, void, undefined> {
  const reader = response
    .body!.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>)
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        throw disconnected(cause);
      });
      if (done) return;
      yield { name: value.event ?? 'message', data: value.data };
    }
  } finally {
    // Ends the request, where the caller breaks off.
    await reader.cancel().catch(() => undefined);
  }
}

const disconnected = (cause: unknown): PageError =>
  new PageError('DISCONNECTED', 'the server can’t be reached; look whether it runs', { cause });

async function reasonOf(response: Response): Promise<string> {
  const fallback = `the server answered ${response.status} ${response.statusText}`;
  try {
    const { error } = (await response.json()) as { readonly error?: { readonly message?: unknown } };
    return typeof error?.message === 'string' ? error.message : fallback;
  } catch {
    return fallback;
  }
}
