/**
 * Asks a server of OpenAI's API, and notes when what arrived. Connections are kept and used again; a request is an object, not a promise per chunk, so that
 * the client takes as little as it can of what it measures.
 */
import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { causeText, printable, jsonOrUndefined } from '../../../base/foreign_text.js';
import type { Endpoint } from '../load/endpoint.js';
import { AnswerStream, errorText } from './answer_stream.js';
import type { Exchange, Failure } from './outcome.js';

/** Whom to ask, and how long to wait. */
export interface ClientOptions {
  /** Without `/v1` at its end. */
  readonly url: URL;
  readonly apiKey?: string | undefined;
  readonly endpoint: Endpoint;
  /** From sending a request to the end of its answer. */
  readonly timeoutMs: number;
  /** Answers are kept, for the next turn of a conversation. */
  readonly keepsText: boolean;
}

/** What a request without a stream came to. */
export interface JsonAnswer {
  readonly status: number;
  /** Undefined where it is no JSON. */
  readonly value: unknown;
}

/** Of an answer that isn't streamed. */
const MAX_BODY_CHARS = 2 ** 20;

const PATHS: Readonly<Record<Endpoint, string>> = {
  completions: '/v1/completions',
  chat: '/v1/chat/completions',
};

/** A client of one server. */
export class OpenAiClient {
  private readonly agent: HttpAgent;
  private readonly base: string;
  /** Ends a request that runs. */
  private readonly running = new Set<(failure: Failure) => void>();

  constructor(private readonly options: ClientOptions) {
    const Agent = options.url.protocol === 'https:' ? HttpsAgent : HttpAgent;
    this.agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: 1024 });
    this.base = options.url.href.replace(/\/$/, '');
  }

  /** Sends a body to the endpoint and takes its stream. Never rejects: a failure is a figure. */
  async complete(body: Buffer): Promise<Exchange> {
    const startMs = performance.now();
    const first = await this.attempt(body, startMs);
    // A server may close a kept connection at the moment in which it is used again: nothing of the request was read then.
    return first.isStale ? (await this.attempt(body, startMs)).exchange : first.exchange;
  }

  /** A request that is answered in one piece, by status and JSON. @throws Error where no answer comes */
  json(method: 'GET' | 'POST', path: string, body?: unknown): Promise<JsonAnswer> {
    return new Promise((resolve, reject) => {
      const settle = this.started((failure) => reject(new Error(failure.reason)));
      const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const request = this.request(method, path, bytes);
      settle.request = request;
      request.on('error', (error) => settle.end(connectionFailure(error)));
      request.on('response', (response) => {
        response.on('error', (error) => settle.end(connectionFailure(error)));
        bodyOf(response, (text) => {
          settle.done();
          resolve({ status: response.statusCode!, value: jsonOrUndefined(text) });
        });
      });
      request.end(bytes);
    });
  }

  /** Ends what runs, as cancelled, and closes all connections. Idempotent. */
  close(): void {
    for (const end of [...this.running]) end({ kind: 'cancelled', reason: 'the load was stopped' });
    this.agent.destroy();
  }

  private attempt(body: Buffer, startMs: number): Promise<{ readonly exchange: Exchange; readonly isStale: boolean }> {
    return new Promise((resolve) => {
      const finish = (outcome: Outcome, isStale = false): void =>
        resolve({ exchange: { startMs, endMs: performance.now(), ...outcome }, isStale });
      const settle = this.started((failure) => finish({ answer: null, failure }));
      const request = this.request('POST', PATHS[this.options.endpoint], body);
      settle.request = request;
      let hasAnswer = false;
      request.on('error', (error: NodeJS.ErrnoException) => {
        if (hasAnswer || !request.reusedSocket || error.code !== 'ECONNRESET')
          return settle.end(connectionFailure(error));
        if (settle.done()) finish({ answer: null, failure: connectionFailure(error) }, true);
      });
      request.on('response', (response) => {
        hasAnswer = true;
        this.take(response, settle, finish);
      });
      request.end(body);
    });
  }

  private take(response: IncomingMessage, settle: Settle, finish: (outcome: Outcome) => void): void {
    response.on('error', (error) => settle.end({ kind: 'cut', reason: causeText(error) }));
    const type = response.headers['content-type'] ?? 'no type';
    if (response.statusCode !== 200) {
      bodyOf(response, (text) =>
        settle.end({ kind: 'http', reason: `${response.statusCode!} ${bodyReason(text)}`.trim() }),
      );
      return;
    }
    if (!type.startsWith('text/event-stream'))
      return settle.end({ kind: 'malformed', reason: `the answer is ${printable(type)}, not text/event-stream` });
    const stream = new AnswerStream(this.options.keepsText);
    response.setEncoding('utf8');
    response.on('data', (piece: string) => {
      const failure = stream.feed(piece, performance.now());
      if (failure !== null) settle.end(failure);
    });
    response.on('end', () => {
      if (settle.done()) finish(stream.end());
    });
  }

  /** Watches over a request: its time, its end by {@link close}, and that it ends once. */
  private started(onFailure: (failure: Failure) => void): Settle {
    const { timeoutMs } = this.options;
    const end = (failure: Failure): void => {
      if (!settle.done()) return;
      settle.request?.destroy();
      onFailure(failure);
    };
    const timer = setTimeout(() => end({ kind: 'timeout', reason: `no end within ${timeoutMs / 1000} s` }), timeoutMs);
    this.running.add(end);
    let isOver = false;
    const settle: Settle = {
      end,
      done: () => {
        if (isOver) return false;
        isOver = true;
        clearTimeout(timer);
        this.running.delete(end);
        return true;
      },
    };
    return settle;
  }

  private request(method: string, path: string, body: Buffer | undefined): ClientRequest {
    const { url, apiKey } = this.options;
    const headers = {
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      ...(body !== undefined && { 'content-type': 'application/json', 'content-length': body.length }),
    };
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    return send(`${this.base}${path}`, { method, headers, agent: this.agent });
  }
}

type Outcome = Pick<Exchange, 'answer' | 'failure'> & ReturnType<AnswerStream['end']>;

interface Settle {
  request?: ClientRequest;
  /** It failed. */
  readonly end: (failure: Failure) => void;
  /** It is over; false where it was already. */
  readonly done: () => boolean;
}

const connectionFailure = (error: Error): Failure => ({ kind: 'connection', reason: causeText(error) });

/** The whole body, as far as it is held. */
function bodyOf(response: IncomingMessage, then: (text: string) => void): void {
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (piece: string) => {
    if (text.length < MAX_BODY_CHARS) text += piece.slice(0, MAX_BODY_CHARS - text.length);
  });
  response.on('end', () => then(text));
}

function bodyReason(text: string): string {
  const value = jsonOrUndefined(text);
  if (typeof value === 'object' && value !== null && 'error' in value) return errorText(value.error);
  return printable(text);
}
