/** Random bytes of tensors, made by the kernels of random_fill.as.ts, compiled to random_fill.wasm beside this file. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { WritableDtype } from '../weights/dtypes.js';

/** What a tensor's values depend on, beside their position. */
export interface RandomStream {
  /** Whole, 0 … 2⁵³ − 1. */
  readonly seed: number;
  /** Of the tensor: two of them have other values. */
  readonly name: string;
}

/** Fills `out` with a tensor's bytes from number `first` on, a multiple of 16. */
export type FillBytes = (out: Uint8Array, first: number) => void;

/** What random_fill.as.ts exports. */
interface FillExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly roomAt: { readonly value: number };
  readonly roomBytes: { readonly value: number };
  readonly useStream: (seedLow: number, seedHigh: number, nameLow: number, nameHigh: number) => void;
  readonly fillFloats: (block: bigint, numBytes: number, bound: number) => void;
  readonly fillBf16: (block: bigint, numBytes: number, bound: number) => void;
  readonly fillCodes: (block: bigint, numBytes: number, keep: number, set: number) => void;
}

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** Philox (base/philox.ts) under a counter that the tensor's name gives: a value depends on seed, name and position alone. */
export class RandomFill {
  private readonly kernels = instantiate();

  /** Uniform in ± `bound`; bfloat16 has the rounded values of float32. A counter makes four of them. */
  uniform(stream: RandomStream, dtype: WritableDtype, bound: number): FillBytes {
    const { fillBf16, fillFloats } = this.kernels;
    const fill = dtype === 'BF16' ? fillBf16 : fillFloats;
    const blockBytes = dtype === 'BF16' ? 8 : 16;
    return this.filler(stream, blockBytes, (block, numBytes) => fill(block, numBytes, bound));
  }

  /** Bytes. `keep`: bits of each that are random; `set`: bits that are one. A counter makes sixteen of them. */
  codes(stream: RandomStream, { keep, set }: { readonly keep: number; readonly set: number }): FillBytes {
    return this.filler(stream, 16, (block, numBytes) => this.kernels.fillCodes(block, numBytes, keep, set));
  }

  private filler(
    { seed, name }: RandomStream,
    blockBytes: number,
    fillRoom: (block: bigint, numBytes: number) => void,
  ): FillBytes {
    const { memory, roomAt, roomBytes, useStream } = this.kernels;
    const digest = createHash('sha256').update(name).digest();
    const room = new Uint8Array(memory.buffer, roomAt.value, roomBytes.value);
    return (out, first) => {
      useStream(seed >>> 0, Math.floor(seed / 2 ** 32), digest.readUInt32LE(4), digest.readUInt32LE(0));
      for (let at = 0; at < out.length; at += room.length) {
        const numBytes = Math.min(room.length, out.length - at);
        fillRoom(BigInt((first + at) / blockBytes), numBytes);
        out.set(room.subarray(0, numBytes), at);
      }
    };
  }
}

function instantiate(): FillExports {
  const module = new WebAssembly.Module(readFileSync(new URL('random_fill.wasm', import.meta.url)));
  return new WebAssembly.Instance(module).exports as FillExports;
}

/** The same element again and again. */
export const repeated =
  (element: Uint8Array): FillBytes =>
  (out) => {
    for (let at = 0; at < out.length; at += element.length) out.set(element, at);
  };
