/** Node ends a process in which nothing but timers of others is left: who waits for those says so. */

/** More than that Node takes for none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What `work` gives; until then the process stays. */
export async function stayingAlive<T>(work: () => Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, MAX_TIMER_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
