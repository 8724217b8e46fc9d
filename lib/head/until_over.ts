/** What a promise gives, or null as soon as a request is over: what its caller has not finished then counts for nobody, whether it ever settles. */
export function untilOver<T>(promise: Promise<T>, over: AbortSignal): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const onOver = (): void => resolve(null);
    const settled = (): void => over.removeEventListener('abort', onOver);
    over.addEventListener('abort', onOver, { once: true });
    promise.then(resolve, reject).finally(settled);
    if (over.aborted) onOver();
  });
}
