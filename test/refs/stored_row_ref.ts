/** Rows of keys and values as a cache stores them and reads them, slow and obvious (stored_rows.as.ts). */

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
  const codes = values.map((value) => (scale === 0 ? 0 : Math.min(255, nearest(fround(fround(value - min) / scale)))));
  return { scale, min, codes };
}

/** What a cache of a type gives back of a row that it was given. */
export function storedRowRef(dtype: 'f32' | 'bf16' | 'int8', row: ArrayLike<number>): number[] {
  if (dtype === 'f32') return Array.from(row);
  if (dtype === 'bf16') return Array.from(row, (value) => floatOf(bf16Of(bitsOf(value)) * 0x10000));
  const { scale, min, codes } = int8RowRef(row);
  return codes.map((code) => fround(min + scale * code));
}

/** What rows of so many values each say, one behind the other as they are outside a cache: of int8 their minimum and scale, two bf16, and codes. */
export function readRowsRef(dtype: 'f32' | 'bf16' | 'int8', bytes: Uint8Array, widths: readonly number[]): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bf16At = (at: number): number => floatOf(view.getUint16(at, true) * 0x10000);
  let at = 0;
  return widths.flatMap((width) => {
    const first = dtype === 'int8' ? at + 4 : at;
    const size = { f32: 4, bf16: 2, int8: 1 }[dtype];
    const [min, scale] = dtype === 'int8' ? [bf16At(at), bf16At(at + 2)] : [0, 1];
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
