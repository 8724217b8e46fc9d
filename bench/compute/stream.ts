/** Memory bandwidth of one core, measured in the same way and turn as what is compared with it. */
import { readFileSync } from 'node:fs';

interface StreamExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(numPages: number): number };
  readonly readStreams: (from: number, numBytes: number) => number;
  readonly copy: (to: number, from: number, numBytes: number) => void;
}

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** Memory of its own in WebAssembly, and two loops over all of it. */
export interface Stream {
  readonly numBytes: number;
  /** Reads all bytes. */
  readonly read: () => void;
  /** Copies one half over the other. */
  readonly copy: () => void;
}

const PAGE_BYTES = 65536;

/** `numBytes`: more than the caches hold; a multiple of 512. */
export function openStream(numBytes: number): Stream {
  const module = new WebAssembly.Module(readFileSync(new URL('stream.wasm', import.meta.url)));
  const { memory, readStreams, copy } = new WebAssembly.Instance(module).exports as StreamExports;
  memory.grow(Math.ceil(numBytes / PAGE_BYTES) + 1);
  // Pages that were never written are all one page of zeros, and read from the cache.
  new Uint8Array(memory.buffer).fill(1);
  return {
    numBytes,
    read: () => void readStreams(PAGE_BYTES, numBytes),
    copy: () => copy(PAGE_BYTES, PAGE_BYTES + numBytes / 2, numBytes / 2),
  };
}
