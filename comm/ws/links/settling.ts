/**
 * Waiting a moment for rows to leave: whoever has the rows of its peers would compute, and its peers would wait for theirs until its event loop turns again.
 * Why: docs/decisions/exchange.md#what-is-leaving-leaves-first
 */

/** The sending end of a connection. */
export interface LeavingEnd {
  /** Bytes that the system hasn't taken yet. */
  readonly unsentBytes: number;
  /** Calls `listener` whenever the system has taken what it was given. */
  onDrain(listener: () => void): void;
  offDrain(listener: () => void): void;
}

/** Less is not worth waiting for. */
const MIN_BYTES = 256 * 1024;
/** How often it looks, and what must have left by then: more than a link of 1 Gbit/s takes, so that a slow one holds up nobody. */
const LOOK_EVERY_MS = 1;
const MIN_PROGRESS_BYTES = 128 * 1024;

/** Resolves when all has left, or little did in a millisecond; undefined where too little waits to leave. */
export function settled(ends: readonly LeavingEnd[]): Promise<void> | undefined {
  const unsent = (): number => ends.reduce((sum, { unsentBytes }) => sum + unsentBytes, 0);
  let left = unsent();
  if (left < MIN_BYTES) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      clearInterval(timer);
      for (const end of ends) end.offDrain(onDrain);
      resolve();
    };
    const onDrain = (): void => {
      if (unsent() === 0) done();
    };
    const timer = setInterval(() => {
      const now = unsent();
      if (now === 0 || left - now < MIN_PROGRESS_BYTES) done();
      left = now;
    }, LOOK_EVERY_MS);
    for (const end of ends) end.onDrain(onDrain);
  });
}
