/** What comes over a link for a sequence that waits for it. */

/** What both kinds of link have, for rows and for blocks. */
export interface Incoming<T> {
  /** Null: all have come. */
  next(): Promise<T | null>;
  close(): void;
}

/** When what comes may be taken, and for how long. */
export interface TakingTerms {
  /** What its blocks held before is forgotten. */
  readonly freed: Promise<void>;
  /** Nothing is taken any more once it is aborted. */
  readonly signal: AbortSignal;
}

/** Takes one after the other until all have come, and closes the link. Rejects with why no more come; once `signal` is aborted it resolves, or does that too. */
export async function takeAll<T>(
  incoming: Incoming<T>,
  { freed, signal }: TakingTerms,
  take: (next: T) => void,
): Promise<void> {
  const stop = (): void => incoming.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await freed;
    while (!signal.aborted) {
      const next = await incoming.next();
      if (next === null || isAborted(signal)) return;
      take(next);
    }
  } finally {
    signal.removeEventListener('abort', stop);
    incoming.close();
  }
}

/** It may be meanwhile. */
const isAborted = ({ aborted }: AbortSignal): boolean => aborted;
