/** The kernels of codec.as.ts, compiled to codec.wasm beside this file. */
import { readFileSync } from 'node:fs';

/** Converts numRows·channels staged values to codes, or back, or rounds them in place. All places are addresses; `channels` is a whole row or whole groups of one. */
export type Kernel = (values: number, scales: number, codes: number, numRows: number, channels: number) => void;

/** What the kernels do with one dtype. */
export interface DtypeKernels {
  readonly encode: Kernel;
  readonly decode: Kernel;
  /** What decoding gives after encoding, in place. */
  readonly round: Kernel;
}

/** One instance of the module: its code and its staging areas, which the next call overwrites. */
export interface Codec extends SumKernels {
  /** Most values of one piece. */
  readonly pieceValues: number;
  /** The whole memory. */
  readonly floats: Float32Array;
  readonly bytes: Uint8Array;
  /** Addresses of the areas, each for one piece: values f32, scales f32 (one per group), codes, and sums f32 of two levels. */
  readonly valuesAt: number;
  readonly scalesAt: number;
  readonly codesAt: number;
  readonly nodeSumsAt: number;
  readonly sumsAt: number;
  readonly kernels: Readonly<Record<'bf16' | 'fp8' | 'int8', DtypeKernels>>;
}

/** Sums of rows. `to` and `from` are addresses in the module. */
export interface SumKernels {
  readonly copyRow: (to: number, from: number, channels: number) => void;
  /** In float32. */
  readonly addRow: (to: number, from: number, channels: number) => void;
  /** to += weight · from, in float64, rounded once. */
  readonly addScaledRow: (to: number, from: number, channels: number, weight: number) => void;
}

type Address = { readonly value: number };

/** What codec.as.ts exports. */
interface CodecExports extends SumKernels {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly pieceValues: Address;
  readonly valuesAt: Address;
  readonly scalesAt: Address;
  readonly codesAt: Address;
  readonly nodeSumsAt: Address;
  readonly sumsAt: Address;
  readonly encodeBf16: Kernel;
  readonly decodeBf16: Kernel;
  readonly roundBf16: Kernel;
  readonly encodeFp8: Kernel;
  readonly decodeFp8: Kernel;
  readonly roundFp8: Kernel;
  readonly encodeInt8: Kernel;
  readonly decodeInt8: Kernel;
  readonly roundInt8: Kernel;
}

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

let instance: Codec | undefined;

/** The codec of this thread, made at the first call: fixed code and scratch memory, so all callers share it. */
export function codec(): Codec {
  return (instance ??= instantiate());
}

function instantiate(): Codec {
  const module = new WebAssembly.Module(readFileSync(new URL('codec.wasm', import.meta.url)));
  const wasm = new WebAssembly.Instance(module).exports as CodecExports;
  const { buffer } = wasm.memory;
  return {
    pieceValues: wasm.pieceValues.value,
    floats: new Float32Array(buffer),
    bytes: new Uint8Array(buffer),
    valuesAt: wasm.valuesAt.value,
    scalesAt: wasm.scalesAt.value,
    codesAt: wasm.codesAt.value,
    nodeSumsAt: wasm.nodeSumsAt.value,
    sumsAt: wasm.sumsAt.value,
    kernels: {
      bf16: { encode: wasm.encodeBf16, decode: wasm.decodeBf16, round: wasm.roundBf16 },
      fp8: { encode: wasm.encodeFp8, decode: wasm.decodeFp8, round: wasm.roundFp8 },
      int8: { encode: wasm.encodeInt8, decode: wasm.decodeInt8, round: wasm.roundInt8 },
    },
    copyRow: wasm.copyRow,
    addRow: wasm.addRow,
    addScaledRow: wasm.addScaledRow,
  };
}
