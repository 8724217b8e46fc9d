/** Does `act` with each, some at a time; the first failure ends it. @throws what `act` throws */
export async function inParallel<T>(all: Iterable<T>, act: (one: T) => Promise<void>, width = 32): Promise<void> {
  const each = all[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (let next = each.next(); next.done !== true; next = each.next()) await act(next.value);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
