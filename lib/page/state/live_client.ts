/**
 * Keeps a stream of the server's feed open: again and again, with longer and longer pauses.
 * Why: docs/decisions/page.md#the-page-is-fetched-not-an-eventsource
 */
import type { ClusterDelta, ClusterSnapshot } from '../../cluster/live/messages.js';
import type { LiveDelta, LiveSnapshot } from '../../server/live/messages.js';
import { PageError } from './errors.js';
import { callServer, eventsOf } from './server_calls.js';

/** How the page stands with its server. */
export type Connection =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** It tries again at `retryAtMs`, in milliseconds since 1970. */
  | { readonly kind: 'lost'; readonly reason: string; readonly retryAtMs: number }
  /** `isWrong`: one was given. */
  | { readonly kind: 'needs_key'; readonly isWrong: boolean }
  /** Nobody looks. */
  | { readonly kind: 'paused' };

/** A message of a feed: of an instance, or of a router. */
export type LiveMessage = FeedMessage<LiveSnapshot | ClusterSnapshot, LiveDelta | ClusterDelta>;

/** A message of one kind of feed. */
export type FeedMessage<Snapshot, Delta> =
  { readonly kind: 'snapshot'; readonly snapshot: Snapshot } | { readonly kind: 'delta'; readonly delta: Delta };

/** Whom the client asks and tells. */
export interface LiveClientOptions {
  readonly fetch: typeof fetch;
  /** The API key as it is now; null: none. */
  readonly key: () => string | null;
  readonly onConnection: (connection: Connection) => void;
  readonly onMessage: (message: LiveMessage) => void;
  /** A stream that is silent for longer is given up. Default 5000. */
  readonly silenceMs?: number;
  /** The first pause; each is twice the one before it, up to {@link maxPauseMs}, give or take a fifth. Default 500. */
  readonly firstPauseMs?: number;
  /** Default 15000. */
  readonly maxPauseMs?: number;
}

const DEFAULTS = { silenceMs: 5000, firstPauseMs: 500, maxPauseMs: 15_000 } as const;

/** The n-th pause before a new try, from 0. `random`: 0 … 1, so that not all pages come back at once. */
export function pauseMs(n: number, random: number, { firstPauseMs, maxPauseMs } = DEFAULTS as PauseLimits): number {
  return Math.min(firstPauseMs * 2 ** n, maxPauseMs) * (0.8 + 0.4 * random);
}

type PauseLimits = Required<Pick<LiveClientOptions, 'firstPauseMs' | 'maxPauseMs'>>;

/** Follows the feed while it is started. */
export class LiveClient {
  private readonly options: Required<LiveClientOptions>;
  private running: AbortController | null = null;
  private numFailures = 0;

  constructor(options: LiveClientOptions) {
    this.options = { ...DEFAULTS, ...options };
  }

  /** Connects now, anew where it is connected or waits: somebody looks, there is another key, or nobody wants to wait. */
  start(): void {
    this.running?.abort();
    this.running = new AbortController();
    void this.follow(this.running.signal);
  }

  /** Nobody looks. Idempotent. */
  stop(): void {
    if (this.running === null) return;
    this.running.abort();
    this.running = null;
    this.options.onConnection({ kind: 'paused' });
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const { onConnection, key } = this.options;
    while (!signal.aborted) {
      onConnection({ kind: 'connecting' });
      const error = await this.read(signal);
      if (isAborted(signal)) return;
      if (error.code === 'NO_KEY') {
        onConnection({ kind: 'needs_key', isWrong: key() !== null });
        return;
      }
      const pause = pauseMs(this.numFailures++, Math.random(), this.options);
      onConnection({ kind: 'lost', reason: error.reason, retryAtMs: Date.now() + pause });
      await elapsed(pause, signal);
    }
  }

  /** Reads one stream to its end. */
  private async read(signal: AbortSignal): Promise<PageError> {
    const { fetch, key, onConnection, silenceMs } = this.options;
    const silent = new AbortController();
    let timer = setTimeout(() => silent.abort(), silenceMs);
    try {
      const both = AbortSignal.any([signal, silent.signal]);
      const response = await callServer('live/events', { fetch, key: key(), signal: both });
      for await (const { name, data } of eventsOf(response)) {
        if (signal.aborted) break;
        clearTimeout(timer);
        timer = setTimeout(() => silent.abort(), silenceMs);
        if (name === 'snapshot') onConnection({ kind: 'live' });
        if (name === 'snapshot') this.numFailures = 0;
        this.take(name, data);
      }
      return new PageError('DISCONNECTED', 'the server ended the connection');
    } catch (error) {
      if (silent.signal.aborted) return new PageError('DISCONNECTED', 'the server went silent');
      return error instanceof PageError ? error : new PageError('DISCONNECTED', 'the server sent what isn’t its feed');
    } finally {
      clearTimeout(timer);
    }
  }

  private take(name: string, data: string): void {
    const { onMessage } = this.options;
    if (name === 'snapshot')
      onMessage({ kind: 'snapshot', snapshot: JSON.parse(data) as LiveSnapshot | ClusterSnapshot });
    if (name === 'delta') onMessage({ kind: 'delta', delta: JSON.parse(data) as LiveDelta | ClusterDelta });
  }
}

/** It may be, while something else is waited for. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;

/** Resolves after `ms`, or as soon as the signal is aborted. */
function elapsed(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
