/** Values that somebody else gave, of any type. */

/** Whether it is a promise, of whatever library or realm; what its `then` throws where that is a getter comes through. */
export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { readonly then?: unknown } | null | undefined)?.then === 'function';

/** What stands at a path of keys, the outermost first; undefined where the path ends before. */
export const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (node, key) => (node as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[key],
    value,
  );
