/** The kernels of codec.as.ts, compiled to codec.wasm beside this file. */
import { readFileSync } from 'node:fs';

/** Converts numRows·channels staged values to codes, or back; `channels` is a whole row or whole groups of one. */
export type Kernel = (numRows: number, channels: number) => void;

/** Rows staged in the module: row r of a piece of `channels` begins at byte `at` + 4·r·channels. */
export interface StagedRows {
  readonly at: number;
  readonly floats: Float32Array;
}

/** One instance of the module: its code and its staging areas, which the next call overwrites. */
export interface Codec {
  /** Most values of one piece. */
  readonly pieceValues: number;
  /** f32, in wire_dtype's order. */
  readonly values: Float32Array;
  /** f32, one per group, as bytes. */
  readonly scales: Uint8Array;
  readonly codes: Uint8Array;
  readonly kernels: Readonly<Record<'bf16' | 'fp8' | 'int8', { readonly encode: Kernel; readonly decode: Kernel }>>;
  readonly sums: SumKernels;
}

/** Sums of rows. `to` and `from` are addresses of rows in the module. */
export interface SumKernels {
  /** `values` again, with its address. */
  readonly rows: StagedRows;
  readonly nodeSums: StagedRows;
  readonly totals: StagedRows;
  readonly copyRow: (to: number, from: number, channels: number) => void;
  /** In float32. */
  readonly addRow: (to: number, from: number, channels: number) => void;
  /** to += weight · from, in float64, rounded once. */
  readonly addScaledRow: (to: number, from: number, channels: number, weight: number) => void;
}

/** What codec.as.ts exports. */
interface CodecExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly pieceValues: { readonly value: number };
  readonly valuesAt: { readonly value: number };
  readonly scalesAt: { readonly value: number };
  readonly codesAt: { readonly value: number };
  readonly encodeBf16: Kernel;
  readonly decodeBf16: Kernel;
  readonly encodeFp8: Kernel;
  readonly decodeFp8: Kernel;
  readonly encodeInt8: Kernel;
  readonly decodeInt8: Kernel;
  readonly nodeSumsAt: { readonly value: number };
  readonly sumsAt: { readonly value: number };
  readonly copyRow: SumKernels['copyRow'];
  readonly addRow: SumKernels['addRow'];
  readonly addScaledRow: SumKernels['addScaledRow'];
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
  const pieceValues = wasm.pieceValues.value;
  const rowsAt = (at: number): StagedRows => ({ at, floats: new Float32Array(buffer, at, pieceValues) });
  const rows = rowsAt(wasm.valuesAt.value);
  return {
    pieceValues,
    values: rows.floats,
    scales: new Uint8Array(buffer, wasm.scalesAt.value, 4 * pieceValues),
    codes: new Uint8Array(buffer, wasm.codesAt.value, 2 * pieceValues),
    kernels: {
      bf16: { encode: wasm.encodeBf16, decode: wasm.decodeBf16 },
      fp8: { encode: wasm.encodeFp8, decode: wasm.decodeFp8 },
      int8: { encode: wasm.encodeInt8, decode: wasm.decodeInt8 },
    },
    sums: {
      rows,
      nodeSums: rowsAt(wasm.nodeSumsAt.value),
      totals: rowsAt(wasm.sumsAt.value),
      copyRow: wasm.copyRow,
      addRow: wasm.addRow,
      addScaledRow: wasm.addScaledRow,
    },
  };
}
