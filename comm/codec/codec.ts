/**
 * The kernels of codec.as.ts, compiled to codec.wasm beside this file: one instance in a memory of its own, and one in each memory of others whose rows travel.
 * Why: docs/decisions/exchange.md#the-codec-works-where-rows-lie
 */
import { readFileSync } from 'node:fs';
import type { RowsMemory } from '../../base/float_rows.js';

/** Converts numRows·channels values to codes, or back. All places are addresses; `channels` is a whole row or whole groups of one. */
export type Kernel = (values: number, scales: number, codes: number, numRows: number, channels: number) => void;

/** What decoding gives after encoding, at `to`, which may be `from`; scales and codes are written over. */
export type RoundKernel = (
  from: number,
  to: number,
  scales: number,
  codes: number,
  numRows: number,
  channels: number,
) => void;

/** What the kernels do with one dtype. */
export interface DtypeKernels {
  readonly encode: Kernel;
  readonly decode: Kernel;
  readonly round: RoundKernel;
}

/** One instance of the module: its code, and its areas in the memory, which the next call overwrites. */
export interface Codec extends SumKernels {
  /** Most values, and most rows, of one piece. */
  readonly pieceValues: number;
  readonly pieceRows: number;
  /** The memory as large as it is now. */
  readonly floats: Float32Array;
  readonly bytes: Uint8Array;
  /** Addresses of the areas, each for one piece: values f32, scales f32, codes, and sums f32 of two levels. */
  readonly valuesAt: number;
  readonly scalesAt: number;
  readonly codesAt: number;
  readonly nodeSumsAt: number;
  readonly sumsAt: number;
  readonly kernels: Readonly<Record<'bf16' | 'fp8' | 'int8', DtypeKernels>>;
}

/** Sums of rows. `to`, `from` and `at` are addresses in the module's memory. */
export interface SumKernels {
  readonly copyRow: (to: number, from: number, channels: number) => void;
  /** Zeros. */
  readonly clearRow: (at: number, channels: number) => void;
  /** In float32. */
  readonly addRow: (to: number, from: number, channels: number) => void;
  /** to += weight · from, in float64, rounded once. */
  readonly addScaledRow: (to: number, from: number, channels: number, weight: number) => void;
}

type Address = { readonly value: number };

/** What codec.as.ts exports. */
interface CodecExports extends SumKernels {
  readonly pieceValues: Address;
  readonly pieceRows: Address;
  readonly useRoom: (at: number) => void;
  /** From the beginning of the room on. */
  readonly valuesAt: Address;
  readonly scalesAt: Address;
  readonly codesAt: Address;
  readonly nodeSumsAt: Address;
  readonly sumsAt: Address;
  readonly encodeBf16: Kernel;
  readonly decodeBf16: Kernel;
  readonly roundBf16: RoundKernel;
  readonly encodeFp8: Kernel;
  readonly decodeFp8: Kernel;
  readonly roundFp8: RoundKernel;
  readonly encodeInt8: Kernel;
  readonly decodeInt8: Kernel;
  readonly roundInt8: RoundKernel;
}

/** A WebAssembly.Memory. */
interface Memory {
  readonly buffer: SharedArrayBuffer;
}

/** The part of the global that is used here: Node's types leave it to the DOM's. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number; shared: true }) => Memory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: { env: { memory: Memory } }) => { readonly exports: unknown };
};

/** Of the own memory: room for the areas (scripts/wasm_modules.mjs says the same to the compiler). */
const INITIAL_PAGES = 4;

/** What a thread has: fixed code and scratch memory, so all callers share it. */
interface Instances {
  readonly module: object;
  readonly own: Codec;
  readonly byMemory: WeakMap<object, Codec>;
}

let instances: Instances | undefined;

/** The codec of this thread for rows that lie in no memory of its kind, made at the first call. */
export function codec(): Codec {
  return made().own;
}

/** The codec that works in a memory with rows, made at the first call. */
export function codecIn({ wasm, roomAt }: RowsMemory): Codec {
  const { module, byMemory } = made();
  let found = byMemory.get(wasm);
  if (found === undefined) byMemory.set(wasm, (found = instantiate(module, wasm as Memory, roomAt)));
  return found;
}

function made(): Instances {
  return (instances ??= make());
}

function make(): Instances {
  const module = new WebAssembly.Module(readFileSync(new URL('codec.wasm', import.meta.url)));
  const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: INITIAL_PAGES, shared: true });
  return { module, own: instantiate(module, memory, 0), byMemory: new WeakMap() };
}

/** Views of a memory, made anew when it has grown. */
class Views {
  floats: Float32Array;
  bytes: Uint8Array;

  constructor(private readonly memory: Memory) {
    this.floats = new Float32Array(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
  }

  now(): this {
    const { buffer } = this.memory;
    if (this.bytes.buffer === buffer) return this;
    this.floats = new Float32Array(buffer);
    this.bytes = new Uint8Array(buffer);
    return this;
  }
}

function instantiate(module: object, memory: Memory, roomAt: number): Codec {
  const wasm = new WebAssembly.Instance(module, { env: { memory } }).exports as CodecExports;
  wasm.useRoom(roomAt);
  const views = new Views(memory);
  return {
    pieceValues: wasm.pieceValues.value,
    pieceRows: wasm.pieceRows.value,
    get floats() {
      return views.now().floats;
    },
    get bytes() {
      return views.now().bytes;
    },
    valuesAt: roomAt + wasm.valuesAt.value,
    scalesAt: roomAt + wasm.scalesAt.value,
    codesAt: roomAt + wasm.codesAt.value,
    nodeSumsAt: roomAt + wasm.nodeSumsAt.value,
    sumsAt: roomAt + wasm.sumsAt.value,
    kernels: {
      bf16: { encode: wasm.encodeBf16, decode: wasm.decodeBf16, round: wasm.roundBf16 },
      fp8: { encode: wasm.encodeFp8, decode: wasm.decodeFp8, round: wasm.roundFp8 },
      int8: { encode: wasm.encodeInt8, decode: wasm.decodeInt8, round: wasm.roundInt8 },
    },
    copyRow: wasm.copyRow,
    clearRow: wasm.clearRow,
    addRow: wasm.addRow,
    addScaledRow: wasm.addScaledRow,
  };
}
