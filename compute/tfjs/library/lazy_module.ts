/** A module that is loaded when it is first used. */
export interface LazyModule<T> {
  /** Asked for a member, it has been loaded. Its members are inherited ones: they can be read, not listed. */
  readonly module: T;
  readonly isLoaded: () => boolean;
}

/** Calls `load` once, when a member is first read; from then on members are found as those of any object. */
export function lazyModule<T extends object>(load: () => T): LazyModule<T> {
  let isLoaded = false;
  const module = {} as T;
  const get = (_target: object, name: string | symbol): unknown => {
    Object.setPrototypeOf(module, load());
    isLoaded = true;
    return Reflect.get(module, name);
  };
  Object.setPrototypeOf(module, new Proxy({}, { get }));
  return { module, isLoaded: () => isLoaded };
}
