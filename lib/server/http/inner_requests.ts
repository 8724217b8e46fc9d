/** Requests that the server makes of itself: they pass all checks, logs and counters that others pass. Why: docs/decisions/batches.md#lines-are-requests-like-others */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { ServerApp } from '../base/part.js';

/** What one is answered. */
export interface InnerAnswer {
  readonly status: number;
  /** What the server calls the request. */
  readonly requestId: string;
  /** JSON, or the text of what isn't. */
  readonly body: unknown;
  readonly retryAfterMs: number | null;
}

/** One of them. */
export interface InnerRequest {
  readonly url: string;
  readonly body: object;
  /** Letters, digits, `_`: what logs call it. */
  readonly id: string;
}

/** Marks them, with a name that nobody outside can know. */
const HEADER = 'x-expertwire-inner';
/** Not of this machine: whoever has them made isn't, or need not be. */
const REMOTE_ADDRESS = '0.0.0.0';

/** Of one server. Comes before the checks of requests. */
export class InnerRequests {
  /** A key that the server takes; it leaves this process nowhere. */
  readonly key = randomUUID();
  private readonly begun = new Map<string, (response: ServerResponse) => void>();

  constructor(private readonly app: ServerApp) {
    app.addHook('onRequest', (request, reply, done) => {
      const { [HEADER]: name } = request.headers;
      if (typeof name === 'string') this.begun.get(name)?.(reply.raw);
      done();
    });
  }

  /** Rejects with the reason of the signal, and where the answer is broken off. */
  async post({ url, body, id }: InnerRequest, signal: AbortSignal): Promise<InnerAnswer> {
    signal.throwIfAborted();
    const name = randomUUID();
    let response: ServerResponse | null = null;
    const leave = (): void => void response?.destroy(); // as a client does that goes away
    this.begun.set(name, (own) => {
      response = own;
      if (signal.aborted) leave();
    });
    signal.addEventListener('abort', leave, { once: true });
    try {
      const answer = await this.app.inject({
        method: 'POST',
        url,
        remoteAddress: REMOTE_ADDRESS,
        headers: {
          ...{ host: 'localhost', 'content-type': 'application/json', 'x-request-id': id },
          ...{ authorization: `Bearer ${this.key}`, [HEADER]: name },
        },
        payload: JSON.stringify(body),
      });
      const seconds = Number(answer.headers['retry-after'] ?? NaN);
      return {
        status: answer.statusCode,
        requestId: String(answer.headers['x-request-id'] ?? id),
        body: jsonOrUndefined(answer.body) ?? answer.body,
        retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : null,
      };
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      this.begun.delete(name);
      signal.removeEventListener('abort', leave);
      clearTimeout((response as (ServerResponse & { readonly timeoutHandle?: NodeJS.Timeout }) | null)?.timeoutHandle); // for slow readers; the library leaves it behind
    }
  }
}
