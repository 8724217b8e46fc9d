/** Rows of keys and values as a cache stores them and reads them, slow and obvious (stored_rows.as.ts). */

import type { KvRow } from '../../compute/base/kv_dtype.js';
import { bf16Of, bitsOf, floatOf } from './wire_dtype_ref.js';

const { fround } = Math;

/** What a row becomes in int8. */
export interface Int8RowRef {
  /** bf16, as floats. */
  readonly scale: number;
  readonly min: number;
  readonly codes: readonly number[];
}

const LIMIT = 2 ** 126;

/** min: the largest bf16 that isn't above the lowest value; scale: the smallest that reaches the highest one in 255 steps. */
export function int8RowRef(row: ArrayLike<number>): Int8RowRef {
  const values = Array.from(row);
  if (!values.every((value) => Math.abs(value) < LIMIT)) return { scale: NaN, min: NaN, codes: values.map(() => 0) };
  const [min] = bf16Around(Math.min(...values));
  const [, scale] = bf16Around(fround(fround(Math.max(...values) - min) / 255));
  return { scale, min, codes: values.map((value) => codeOf(value, scale, min)) };
}

/** The same of a narrow row: the scale has four significant bits, and the min is −128 times it. */
export function narrowRowRef(row: ArrayLike<number>): Int8RowRef & { readonly byte: number } {
  const values = Array.from(row);
  const wanted = Math.max(fround(Math.max(...values) / 127), fround(Math.min(...values) / -128));
  const byte = NARROW_SCALES.findIndex((scale) => scale >= wanted);
  if (byte < 0) return { scale: NaN, min: NaN, codes: values.map(() => 0), byte: NARROW_SCALES.length };
  const scale = NARROW_SCALES[byte]!;
  const min = -128 * scale;
  return { scale, min, codes: values.map((value) => codeOf(value, scale, min)), byte };
}

/** 0, then eight in each power of two, from the second one on. */
const NARROW_SCALES = Array.from({ length: 255 }, (_, byte) =>
  byte === 0 ? 0 : (1 + (byte % 8) / 8) * 2 ** (Math.floor(byte / 8) - 20),
);

function codeOf(value: number, scale: number, min: number): number {
  return scale === 0 ? 0 : Math.min(255, nearest(fround(fround(value - min) / scale)));
}

/** What a cache of a type gives back of a row that it was given. */
export function storedRowRef(dtype: 'f32' | 'bf16' | 'int8', row: ArrayLike<number>, isNarrow = false): number[] {
  if (dtype === 'f32') return Array.from(row);
  if (dtype === 'bf16') return Array.from(row, (value) => floatOf(bf16Of(bitsOf(value)) * 0x10000));
  const { scale, min, codes } = isNarrow ? narrowRowRef(row) : int8RowRef(row);
  return codes.map((code) => fround(min + scale * code));
}

/** What rows say, one behind the other as they are outside a cache: of int8 their minimum and scale, two bf16, or the byte of narrow ones, and codes. */
export function readRowsRef(dtype: 'f32' | 'bf16' | 'int8', bytes: Uint8Array, rows: readonly KvRow[]): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bf16At = (at: number): number => floatOf(view.getUint16(at, true) * 0x10000);
  let at = 0;
  return rows.flatMap(({ width, isNarrow }) => {
    const first = dtype !== 'int8' ? at : isNarrow ? at + 1 : at + 4;
    const size = { f32: 4, bf16: 2, int8: 1 }[dtype];
    const narrow = NARROW_SCALES[bytes[at]!] ?? NaN;
    const [min, scale] = isNarrow ? [-128 * narrow, narrow] : [bf16At(at), bf16At(at + 2)];
    at = first + width * size;
    return Array.from({ length: width }, (_, i) => {
      if (dtype === 'int8') return fround(min + scale * bytes[first + i]!);
      return dtype === 'f32' ? view.getFloat32(first + 4 * i, true) : bf16At(first + 2 * i);
    });
  });
}

/** Of the two bf16 around a float, or it itself, the lower and the higher one. */
function bf16Around(value: number): readonly [low: number, high: number] {
  const bits = bitsOf(value);
  const toZero = floatOf(bits - (bits % 0x10000));
  const fromZero = bits % 0x10000 === 0 ? toZero : floatOf(bits - (bits % 0x10000) + 0x10000);
  return value < 0 ? [fromZero, toZero] : [toZero, fromZero];
}

/** Ties to even. */
function nearest(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}
