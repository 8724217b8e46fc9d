/** Requests to an API server: objects as JSON, and answers that go on: watches and logs. */
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request, type Dispatcher } from 'undici';
import { causeText, jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import type { Connection } from './connection.js';
import { KubernetesError, type KubernetesErrorCode } from './errors.js';

/** One request. */
export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With its query, behind the server's own path. */
  readonly path: string;
  readonly body?: object;
  readonly signal: AbortSignal;
}

/** How long is waited, and how often it is tried. */
export interface ApiLimits {
  /** For a connection and for the head of an answer. Default 30000. */
  readonly timeoutMs?: number;
  /** Further tries where nothing answers, the server failed or has too much to do, a second apart and then twice as long each time. Default 4. */
  readonly retries?: number;
  /** Before the first of them. Default 1000. */
  readonly retryMs?: number;
}

/** Of answers that are read whole. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;
const MAX_WAIT_MS = 20_000;

/** An API server. */
export class KubernetesApi {
  readonly namespace: string;
  private readonly agent: Agent;

  constructor(
    private readonly connection: Connection,
    private readonly limits: ApiLimits = {},
  ) {
    const { ca, cert, key, serverName, isInsecure = false, namespace } = connection;
    const { timeoutMs = 30_000 } = limits;
    this.namespace = namespace;
    this.agent = new Agent({
      connect: {
        timeout: timeoutMs,
        rejectUnauthorized: !isInsecure,
        ...(ca !== undefined && { ca }),
        ...(cert !== undefined && { cert }),
        ...(key !== undefined && { key }),
        ...(serverName !== undefined && { servername: serverName }),
      },
      headersTimeout: timeoutMs,
      bodyTimeout: 0, // watches and logs may be silent
    });
  }

  /** The answer's object. What may have been done by a try that broke off is found done by the next. @throws KubernetesError; the signal's reason */
  async ask<T>(asked: ApiRequest): Promise<T> {
    const { retries = 4, retryMs = 1000 } = this.limits;
    for (let tries = 0; ; tries++) {
      try {
        const { body } = await this.send(asked);
        return jsonOrUndefined(await textOf(body, MAX_ANSWER_BYTES)) as T;
      } catch (error) {
        asked.signal.throwIfAborted();
        const told = toldError(error, this.connection.server);
        if (tries > 0 && told.code === 'CONFLICT' && asked.method === 'POST') return undefined as T; // the first try's
        if (tries >= retries || !PASSING.has(told.code)) throw told;
        await delay(Math.min(MAX_WAIT_MS, retryMs * 2 ** tries), undefined, { signal: asked.signal }).catch(
          () => undefined,
        );
        asked.signal.throwIfAborted();
      }
    }
  }

  /** What comes of an answer that goes on, until the server ends it. Tried once. @throws KubernetesError; the signal's reason */
  async *follow(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      const { body } = await this.send({ method: 'GET', path, signal });
      for await (const chunk of body) yield chunk as Uint8Array;
    } catch (error) {
      signal.throwIfAborted();
      throw toldError(error, this.connection.server);
    }
  }

  /** Breaks off what runs. Idempotent. */
  async close(): Promise<void> {
    await this.agent.destroy();
  }

  private async send({ method, path, body, signal }: ApiRequest): Promise<Dispatcher.ResponseData> {
    const { server, token } = this.connection;
    const headers = {
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${await token()}` }),
    };
    const answer = await request(server + path, {
      ...{ dispatcher: this.agent, method, headers, signal },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (answer.statusCode < 300) return answer;
    const told = jsonOrUndefined(await textOf(answer.body, MAX_ANSWER_BYTES).catch(() => '')) as
      { message?: unknown } | undefined;
    const message = typeof told?.message === 'string' ? told.message : `status ${answer.statusCode}`;
    throw refusal(answer.statusCode, `${method} ${path.replace(/\?.*/, '')}`, message);
  }
}

const PASSING: ReadonlySet<KubernetesErrorCode> = new Set(['UNREACHABLE', 'FAILED']);

function toldError(error: unknown, server: string): KubernetesError {
  if (error instanceof KubernetesError) return error;
  return new KubernetesError(
    'UNREACHABLE',
    `the API server at ${printable(server)} doesn't answer (${causeText(error)}); check the kubeconfig's server, its certificates and the network`,
    { cause: error },
  );
}

function refusal(status: number, what: string, message: string): KubernetesError {
  const [code, advice] = REFUSALS[status] ?? (status >= 500 ? FAILED : REFUSED);
  return new KubernetesError(
    code,
    `the API server answers ${status} to ${what} (${printable(message, MAX_MESSAGE_CHARS)}); ${advice}`,
  );
}

const MAX_MESSAGE_CHARS = 500;
const FAILED = ['FAILED', 'look at the cluster’s API server'] as const;
const REFUSED = ['REFUSED', 'change what it names'] as const;
const REFUSALS: Readonly<Record<number, readonly [KubernetesErrorCode, string]>> = {
  401: ['UNAUTHORIZED', 'log in again, or give another kubeconfig'],
  403: ['FORBIDDEN', 'give the account the role of docs/kubernetes.md, or ask who runs the cluster'],
  404: ['NOT_FOUND', 'check the namespace'],
  409: ['CONFLICT', 'give another name'],
  429: ['FAILED', 'let it do less at a time'],
};

async function textOf(body: AsyncIterable<unknown>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let numBytes = 0;
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    numBytes += chunk.length;
    if (numBytes > maxBytes)
      throw new KubernetesError('REFUSED', `an answer of more than ${maxBytes} bytes; ask for less`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
