/** Arguments of wire_dtype.ts: cheap checks, once per call. */
import { CommError } from '../base/errors.js';
import type { Rows } from './wire_staging.js';

/** @throws CommError INVALID_ARGUMENT unless x [T·H] holds the first `numRows` of `rows`. */
export function checkRows(call: string, x: Rows, rows: Int32Array | null, numRows: number, hidden: number): void {
  checkCount(call, 'hidden', hidden, 1);
  checkCount(call, 'numRows', numRows, 0);
  const rowsOfX = numRowsIn(call, x, hidden);
  if (rows === null) {
    if (numRows > rowsOfX) throw refusal(call, `x holds ${rowsOfX} rows of ${hidden} channels, ${numRows} asked for`);
    return;
  }
  if (numRows > rows.length) throw refusal(call, `rows names ${rows.length} rows, ${numRows} asked for`);
  for (let i = 0; i < numRows; i++) {
    const row = rows[i]!;
    if (row < 0 || row >= rowsOfX) throw refusal(call, `rows[${i}] is ${row}, x holds rows 0 … ${rowsOfX - 1}`);
  }
}

/** @throws CommError INVALID_ARGUMENT unless out [T·H] has `numRows` rows from `outRowStart`. */
export function checkOut(call: string, out: Rows, outRowStart: number, numRows: number, hidden: number): void {
  checkCount(call, 'hidden', hidden, 1);
  checkCount(call, 'numRows', numRows, 0);
  checkCount(call, 'outRowStart', outRowStart, 0);
  const room = numRowsIn(call, out, hidden);
  const end = outRowStart + numRows;
  if (end > room) throw refusal(call, `out holds ${room} rows of ${hidden} channels, its rows would end at ${end}`);
}

function numRowsIn(call: string, rows: Rows, hidden: number): number {
  if (rows instanceof Float32Array) return Math.floor(rows.length / hidden);
  if (rows.hidden === hidden) return rows.numRows;
  throw refusal(call, `rows of ${rows.hidden} channels, ${hidden} expected`);
}

/** @throws CommError INVALID_ARGUMENT unless there are exactly as many bytes as the rows take. */
export function checkBytes(call: string, dtype: string | object, bytes: Uint8Array, expected: number): void {
  if (bytes.length !== expected) {
    throw refusal(
      call,
      `${bytes.length} bytes, the rows take ${expected} as ${typeof dtype === 'string' ? dtype : 'their codec has them'}`,
    );
  }
}

function checkCount(call: string, name: string, count: number, least: number): void {
  if (Number.isSafeInteger(count) && count >= least) return;
  throw refusal(call, `${name} is ${count}, an integer of at least ${least} expected`);
}

const refusal = (call: string, what: string): CommError =>
  new CommError('INVALID_ARGUMENT', `${call}: ${what}; give arrays that fit numRows and hidden`);
