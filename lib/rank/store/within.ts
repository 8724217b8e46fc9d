import { setTimeout as delay } from 'node:timers/promises';

/** Whether it resolves in time; it is left to itself where it doesn't. Rejects where it does. */
export async function within(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const done = new AbortController();
  const late = delay(timeoutMs, false, { signal: done.signal }).catch(() => false);
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    done.abort();
  }
}
