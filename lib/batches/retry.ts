/** Whether a line is sent again. Pure. Why: docs/decisions/batches.md#what-is-sent-again */
import type { LineAnswer } from './rows.js';

/** How often, and when. */
export interface LineRetries {
  /** Tries behind the first one, of a request that failed in the server. Default 2. */
  readonly count: number;
  /** Before the first one; doubled each time up to `maxBackoffMs`. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** How long a line waits for a server that is full or isn't there; null: as long as the batch. */
  readonly patienceMs: number | null;
}

/** What is usual in a server. */
export const LINE_RETRIES: LineRetries = { count: 2, backoffMs: 200, maxBackoffMs: 10_000, patienceMs: null };

/** What a try came to; null: nobody answered. */
export type Tried = Pick<LineAnswer, 'status' | 'retryAfterMs'> | null;

/** How a line stands: tries that the server failed at, tries in all, and since when nobody takes it. */
export interface Tries {
  readonly numFailed: number;
  readonly numTries: number;
  readonly waitedMs: number;
}

/** `again` in so many milliseconds; `row`: what came is the line's row; `give_up`: nobody was there for too long. */
export type Retry =
  | { readonly kind: 'again'; readonly afterMs: number; readonly isFailure: boolean }
  | { readonly kind: 'row' }
  | { readonly kind: 'give_up' };

/** The server is full, ends, or can't be reached: the line was not even begun. */
const NOT_TAKEN: ReadonlySet<number> = new Set([429, 503]);
/** It may have been chance, or the line: not for ever. */
const FAILED: ReadonlySet<number> = new Set([408, 500, 502, 504]);

/** What to do after a try. */
export function retryOf(tried: Tried, { numFailed, numTries, waitedMs }: Tries, retries: LineRetries): Retry {
  const backoffMs = Math.min(retries.maxBackoffMs, retries.backoffMs * 2 ** Math.min(30, numTries - 1));
  const afterMs = Math.max(backoffMs, Math.min(retries.maxBackoffMs, tried?.retryAfterMs ?? 0));
  if (tried === null || NOT_TAKEN.has(tried.status)) {
    const isOver = retries.patienceMs !== null && waitedMs + afterMs > retries.patienceMs;
    return isOver ? { kind: 'give_up' } : { kind: 'again', afterMs, isFailure: false };
  }
  if (FAILED.has(tried.status) && numFailed < retries.count) return { kind: 'again', afterMs, isFailure: true };
  return { kind: 'row' };
}
