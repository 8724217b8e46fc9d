import type { JobClock } from '../base/job_bus.js';

/** More than that Node takes for none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's. What waits for it keeps no process alive. `maxMs`: of one of Node's timers. */
export const clockOf = (maxMs: number): JobClock => ({
  now: () => Date.now(),
  after: (ms, act) => {
    const dueMs = Date.now() + ms;
    let timer: NodeJS.Timeout;
    const wait = (): void => {
      const leftMs = Math.max(dueMs - Date.now(), 0) + 1; // Node's timers may come a millisecond early by this clock
      timer = setTimeout(leftMs > maxMs ? wait : act, Math.min(leftMs, maxMs)).unref();
    };
    wait();
    return () => clearTimeout(timer);
  },
});

/** The machine's. */
export const systemClock: JobClock = clockOf(MAX_TIMER_MS);

/** After so long, or when the signal says so. */
export const waited = (clock: JobClock, ms: number, until: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      stop();
      until.removeEventListener('abort', end);
      resolve();
    };
    const stop = clock.after(ms, end);
    until.addEventListener('abort', end);
    if (until.aborted) end();
  });
