import type { JobClock } from '../base/job_bus.js';

/** More than that Node takes for none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The machine's. What waits for it keeps no process alive. */
export const systemClock: JobClock = {
  now: () => Date.now(),
  after: (ms, act) => {
    const timer = setTimeout(act, Math.min(Math.max(ms, 0), MAX_TIMER_MS)).unref();
    return () => clearTimeout(timer);
  },
};

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
