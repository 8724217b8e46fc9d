/** One thread's instance of the kernel module on a shared memory. */

/** What every instance is made with. */
export interface KernelModule {
  /** A WebAssembly.Module. */
  readonly module: object;
  /** A WebAssembly.Memory. */
  readonly memory: object;
  /** parallel.as.ts: there is work in this memory for so many helpers. */
  readonly ring: (numHelpers: number) => void;
  /** parallel.as.ts: throws where helpers failed; they kept the caller waiting for so many seconds. */
  readonly checkHelpers: (numSeconds: number) => void;
}

/** What parallel.as.ts exports for threads. */
export interface CrewExports {
  readonly joinCrew: (numThreads: number, place: number, regionNs: number) => void;
  /** memory.as.ts: where the instance's static areas are. */
  readonly useStatics: (address: number) => void;
  readonly setTile: (numRows: number) => void;
  readonly workAlone: (isAlone: boolean) => void;
  readonly takeChunks: () => number;
  readonly wakeCaller: () => void;
}

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
};

/** Its exports. */
export function instantiate({ module, memory, ring, checkHelpers }: KernelModule): unknown {
  const imports = { env: { memory }, 'parallel.as': { ring, checkHelpers } };
  return new WebAssembly.Instance(module, imports).exports;
}
