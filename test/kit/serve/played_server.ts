/** A server of the OpenAI API that plays a part: streams with known gaps, fails in known ways, and remembers what it was asked. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a request gets. */
export type Part =
  | {
      readonly kind: 'stream';
      /** Texts of the chunks; each comes `gapMs` after the one before. */
      readonly chunks: readonly string[];
      readonly gapMs?: number;
      /** Tokens that usage tells; default: one per chunk; null: no usage. */
      readonly usage?: { readonly completion: number; readonly cached?: number } | null;
      readonly tokenIds?: readonly (readonly number[])[];
    }
  | { readonly kind: 'status'; readonly status: number; readonly message: string }
  | { readonly kind: 'error event'; readonly message: string }
  /** The connection is destroyed after this many chunks; 0: before an answer. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Ends well, but without [DONE]. */
  | { readonly kind: 'unfinished' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'raw'; readonly type: string; readonly text: string };

/** A request's body, as far as tests look at it. */
export interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface PlayedServer {
  readonly url: string;
  /** Completions and chats, in the order of arrival. */
  readonly asked: readonly Asked[];
  /** Most requests that it answered at a time. */
  readonly peak: () => number;
}

/** What the server offers; `null`: no such endpoint. */
export interface PlayedOptions {
  readonly maxModelLen?: number;
  /** Tokens that /tokenize makes of a word; default: no /tokenize. */
  readonly tokensPerWord?: number;
}

/** Runs `use` with a server that answers the n-th completion or chat with `play(asked, n)`, and closes it whatever happens. */
export async function withPlayedServer<T>(
  play: (asked: Asked, index: number) => Part,
  use: (server: PlayedServer) => Promise<T>,
  options: PlayedOptions = {},
): Promise<T> {
  const asked: Asked[] = [];
  let [running, peak] = [0, 0];
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      if (request.url === '/v1/models') return models(response, options);
      if (request.url === '/tokenize') return tokenize(response, body, options);
      const one = { path: request.url!, authorization: request.headers.authorization, body };
      asked.push(one);
      peak = Math.max(peak, ++running);
      response.on('close', () => running--);
      return perform(play(one, asked.length - 1), one, response);
    });
  });
  try {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return await use({ url: `http://127.0.0.1:${port}`, asked, peak: () => peak });
  } finally {
    await closed(server);
  }
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += piece as string;
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

const models = (response: ServerResponse, { maxModelLen }: PlayedOptions): void =>
  json(response, 200, {
    object: 'list',
    data: [{ id: 'played', object: 'model', max_model_len: maxModelLen ?? 4096 }],
  });

function tokenize(
  response: ServerResponse,
  { prompt }: Record<string, unknown>,
  { tokensPerWord }: PlayedOptions,
): void {
  if (tokensPerWord === undefined) return json(response, 404, { error: { message: 'no such path' } });
  json(response, 200, { count: Math.round((prompt as string).split(' ').length * tokensPerWord) });
}

async function perform(part: Part, asked: Asked, response: ServerResponse): Promise<void> {
  switch (part.kind) {
    case 'status': {
      json(response, part.status, { error: { message: part.message, type: 'x', code: part.status } });
      return;
    }
    case 'raw':
      response.writeHead(200, { 'content-type': part.type }).end(part.text);
      return;
    case 'hang':
      return;
    case 'cut':
      if (part.after === 0) {
        response.destroy();
        return;
      }
      begin(response);
      for (let i = 0; i < part.after; i++) response.write(chunkOf(asked, 'x'));
      // What was written is sent before the socket goes.
      response.write(': \n\n', () => response.destroy());
      return;
    case 'error event':
      begin(response);
      response.write(chunkOf(asked, 'x'));
      response.end(`data: ${JSON.stringify({ error: { message: part.message, code: 500 } })}\n\ndata: [DONE]\n\n`);
      return;
    case 'unfinished':
      begin(response);
      response.end(chunkOf(asked, 'x'));
      return;
    case 'stream':
      return streamed(part, asked, response);
  }
}

const begin = (response: ServerResponse): void =>
  void response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });

async function streamed(
  part: Extract<Part, { kind: 'stream' }>,
  asked: Asked,
  response: ServerResponse,
): Promise<void> {
  begin(response);
  if (isChat(asked))
    response.write(
      eventOf({ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] }),
    );
  for (const [i, text] of part.chunks.entries()) {
    await new Promise((resolve) => setTimeout(resolve, part.gapMs ?? 0));
    const ids = part.tokenIds?.[i];
    response.write(chunkOf(asked, text, ids));
  }
  const end = isChat(asked) ? { delta: {}, finish_reason: 'length' } : { text: '', finish_reason: 'length' };
  response.write(eventOf({ choices: [{ index: 0, ...end }] }));
  if (part.usage !== null) {
    const { completion, cached } = part.usage ?? { completion: part.chunks.length };
    const usage = { prompt_tokens: promptLength(asked), completion_tokens: completion };
    const details = cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } };
    response.write(eventOf({ choices: [], usage: { ...usage, ...details } }));
  }
  response.end('data: [DONE]\n\n');
}

const isChat = ({ path }: Asked): boolean => path === '/v1/chat/completions';

/** Token ids as many as they are, texts and messages by their words. */
export function promptLength({ body }: Asked): number {
  const { prompt, messages } = body as { prompt?: string | number[]; messages?: readonly { content: string }[] };
  if (Array.isArray(prompt)) return prompt.length;
  const text = prompt ?? messages!.map(({ content }) => content).join(' ');
  return text.split(/\s+/).filter((word) => word !== '').length;
}

function chunkOf(asked: Asked, text: string, tokenIds?: readonly number[]): string {
  const ids = tokenIds === undefined ? {} : { token_ids: tokenIds };
  const choice = isChat(asked) ? { delta: { content: text }, ...ids } : { text, ...ids };
  return eventOf({ choices: [{ index: 0, ...choice, finish_reason: null }] });
}

const eventOf = (value: object): string => `data: ${JSON.stringify({ id: 'x', model: 'played', ...value })}\n\n`;
