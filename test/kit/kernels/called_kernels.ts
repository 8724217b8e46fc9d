/** Which functions of a module of kernels are called from JavaScript. */

interface Instance {
  readonly exports: Readonly<Record<string, unknown>>;
}

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: { Instance: new (module: object, imports?: object) => Instance };

/** Runs `work` with kernels of which every call is noted. `all`: what the modules export that were made meanwhile. */
export async function calledKernels(
  work: () => Promise<unknown>,
): Promise<{ readonly called: ReadonlySet<string>; readonly all: readonly string[] }> {
  const [called, all] = [new Set<string>(), new Set<string>()];
  const { Instance } = WebAssembly;
  const noted = (name: string, value: unknown): unknown => {
    if (typeof value !== 'function') return value;
    all.add(name);
    return (...args: unknown[]): unknown => {
      called.add(name);
      return (value as (...args: unknown[]) => unknown)(...args);
    };
  };
  // A constructor that returns an object gives that instead of its own.
  WebAssembly.Instance = function (module: object, imports?: object): Instance {
    const { exports } = new Instance(module, imports);
    return { exports: Object.fromEntries(Object.entries(exports).map(([name, value]) => [name, noted(name, value)])) };
  } as unknown as typeof Instance;
  try {
    await work();
  } finally {
    WebAssembly.Instance = Instance;
  }
  return { called, all: [...all].sort() };
}
