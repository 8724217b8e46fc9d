/** Requests to one instance over HTTP. Why: docs/decisions/cluster.md#bytes-are-passed-on-as-they-come */
import { Pool, type Dispatcher } from 'undici';
import { causeText } from '../../../../base/foreign_text.js';
import { ByteQueue } from './byte_queue.js';
import { UpstreamError, type UpstreamErrorCode } from './upstream_error.js';

/** A request as it goes to an instance. */
export interface UpstreamRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Buffer | null;
}

/** Headers of an answer, in small letters. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** An answer, of which the head is there. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** What came since the last call; null: the answer is whole. Whoever doesn't read holds up the instance. @throws UpstreamError, and the signal's reason */
  read(): Promise<Buffer | null>;
  /** Nothing comes any more, read or not: null, or why. */
  readonly ended: Promise<Error | null>;
}

/** How long is waited, and how much is held. */
export interface ClientLimits {
  readonly connectTimeoutMs: number;
  /** Until the head of an answer, and then between its pieces: a whole answer may take minutes. */
  readonly idleTimeoutMs: number;
  /** Of one answer, before it is read. */
  readonly maxUnreadBytes: number;
}

/** Connections to an instance, as many as there are requests at a time. */
export class UpstreamClient {
  private readonly pool: Pool;
  private readonly prefix: string;

  /** @param url of its server; a path comes before those of requests */
  constructor(
    readonly url: string,
    private readonly limits: ClientLimits,
  ) {
    const { origin, pathname } = new URL(url);
    const { connectTimeoutMs: timeout, idleTimeoutMs } = limits;
    this.prefix = pathname.replace(/\/$/, '');
    this.pool = new Pool(origin, {
      connect: { timeout },
      headersTimeout: idleTimeoutMs,
      bodyTimeout: idleTimeoutMs,
    });
  }

  /** Resolves with the head of the answer, whatever its status. @throws UpstreamError, and the signal's reason */
  ask({ method, path, headers, body }: UpstreamRequest, signal: AbortSignal): Promise<UpstreamAnswer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(reasonOf(signal));
      const handler = new AnswerHandler(this.url, this.limits.maxUnreadBytes, signal, resolve, reject);
      const options = { method: method, path: this.prefix + path, headers, body };
      this.pool.dispatch(options, handler);
    });
  }

  /** Breaks off what runs. Idempotent. */
  close(): Promise<void> {
    return this.pool.destroy(new UpstreamError('BROKEN_OFF', `${this.url} is no instance any more`));
  }
}

/** Follows one request. */
class AnswerHandler implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | null = null;
  private queue: ByteQueue | null = null;
  private tellEnd: ((error: Error | null) => void) | null = null;

  constructor(
    private readonly url: string,
    private readonly maxUnreadBytes: number,
    private readonly signal: AbortSignal,
    private readonly resolve: (answer: UpstreamAnswer) => void,
    private readonly reject: (error: Error) => void,
  ) {
    signal.addEventListener('abort', this.onAbort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.signal.aborted) controller.abort(reasonOf(this.signal));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: AnswerHeaders): void {
    if (status < 200) return;
    const queue = new ByteQueue(controller, this.maxUnreadBytes);
    this.queue = queue;
    const ended = new Promise<Error | null>((resolve) => (this.tellEnd = resolve));
    this.resolve({ status, headers, read: () => queue.read(), ended });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.queue!.push(chunk);
  }

  onResponseEnd(): void {
    this.finish(null);
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    this.finish(this.signal.aborted ? reasonOf(this.signal) : upstreamErrorOf(this.url, cause));
  }

  /** Also before there is a connection. */
  private readonly onAbort = (): void => {
    const reason = reasonOf(this.signal);
    this.controller?.abort(reason);
    this.finish(reason);
  };

  private finish(error: Error | null): void {
    this.signal.removeEventListener('abort', this.onAbort);
    this.queue?.finish(error);
    this.tellEnd?.(error);
    if (error !== null) this.reject(error);
  }
}

const reasonOf = ({ reason }: AbortSignal): Error =>
  reason instanceof Error ? reason : new UpstreamError('BROKEN_OFF', 'the request was given up');

function upstreamErrorOf(url: string, cause: Error & { readonly code?: string }): UpstreamError {
  if (cause instanceof UpstreamError) return cause;
  const code = codeOf(cause.code ?? '');
  return new UpstreamError(code, `${url}: ${TEXTS[code]} (${causeText(cause)})`, { cause });
}

/** By Node's codes and undici's. */
function codeOf(code: string): UpstreamErrorCode {
  if (UNREACHABLE.has(code) || /^(ERR_TLS|CERT_|DEPTH_ZERO|UNABLE_TO|SELF_SIGNED|ERR_SSL)/.test(code))
    return 'UNREACHABLE';
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'TIMEOUT';
  return code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW' ? 'NOT_HTTP' : 'BROKEN_OFF';
}

const UNREACHABLE: ReadonlySet<string> = new Set([
  ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ETIMEDOUT'],
  ...['EADDRNOTAVAIL', 'UND_ERR_CONNECT_TIMEOUT'],
]);

const TEXTS: Readonly<Record<UpstreamErrorCode, string>> = {
  UNREACHABLE: 'nobody answers there',
  BROKEN_OFF: 'the connection ended before the answer was whole',
  TIMEOUT: 'nothing came for too long',
  NOT_HTTP: 'what came is no HTTP',
  REFUSED: 'it refused',
  UNHEALTHY: 'it fails its health checks',
};
