/**
 * What `work` gives, after `close`, which is called whatever happens. Of two errors the first is thrown: what broke the work, not what then
 * couldn't be closed either.
 */
export async function closing<T>(close: () => Promise<void>, work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
  await close();
  return result;
}
