/** A token's rows as they lie outside a cache that isn't of floats, and what is read of them, slow and obvious. */
import type { KvDtype, KvRow } from '../../compute/base/kv_dtype.js';
import { int8RowRef, narrowRowRef, storedRowRef } from './stored_row_ref.js';
import { bf16Of, bitsOf } from './wire_dtype_ref.js';

/** `floats`: of all rows of a token, one behind the other. */
export interface TokenRowsRef {
  readonly floats: readonly number[];
  readonly rows: readonly KvRow[];
}

/** The bytes that a cache of the type gives out. */
export function storedBytesRef(dtype: KvDtype, token: TokenRowsRef): Uint8Array {
  return Uint8Array.from(rowsOf(token).flatMap(({ values, isNarrow }) => rowBytes(dtype, values, isNarrow)));
}

/** What attention sees of them. */
export const storedFloatsRef = (dtype: KvDtype, token: TokenRowsRef): number[] =>
  rowsOf(token).flatMap(({ values, isNarrow }) => storedRowRef(dtype, values, isNarrow));

function rowsOf({ floats, rows }: TokenRowsRef): { readonly values: number[]; readonly isNarrow: boolean }[] {
  let at = 0;
  return rows.map(({ width, isNarrow }) => ({ values: floats.slice(at, (at += width)), isNarrow }));
}

function rowBytes(dtype: KvDtype, row: readonly number[], isNarrow: boolean): number[] {
  if (dtype === 'f32') return row.flatMap((value) => littleEndian(bitsOf(value), 4));
  if (dtype === 'bf16') return row.flatMap((value) => littleEndian(bf16Of(bitsOf(value)), 2));
  if (isNarrow) {
    const { byte, codes } = narrowRowRef(row);
    return [byte, ...codes];
  }
  const { scale, min, codes } = int8RowRef(row);
  return [...littleEndian(bf16Of(bitsOf(min)), 2), ...littleEndian(bf16Of(bitsOf(scale)), 2), ...codes];
}

const littleEndian = (bits: number, numBytes: number): number[] =>
  Array.from({ length: numBytes }, (_, i) => Math.floor(bits / 256 ** i) % 256);
