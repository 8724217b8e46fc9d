/** Arguments of wire_dtype.ts: cheap checks, once per call. */
import { CommError } from '../base/errors.js';

/** @throws CommError INVALID_ARGUMENT unless x [T·H] holds the first `numRows` of `rows`. */
export function checkRows(
  call: string,
  x: Float32Array,
  rows: Int32Array | null,
  numRows: number,
  hidden: number,
): void {
  checkCount(call, 'hidden', hidden, 1);
  checkCount(call, 'numRows', numRows, 0);
  const rowsOfX = Math.floor(x.length / hidden);
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
export function checkOut(call: string, out: Float32Array, outRowStart: number, numRows: number, hidden: number): void {
  checkCount(call, 'hidden', hidden, 1);
  checkCount(call, 'numRows', numRows, 0);
  checkCount(call, 'outRowStart', outRowStart, 0);
  const end = (outRowStart + numRows) * hidden;
  if (end > out.length) throw refusal(call, `out holds ${out.length} values, its rows would end at ${end}`);
}

/** @throws CommError INVALID_ARGUMENT unless there are exactly as many bytes as the rows take. */
export function checkBytes(call: string, dtype: string, bytes: Uint8Array, expected: number): void {
  if (bytes.length !== expected) {
    throw refusal(call, `${bytes.length} bytes, the rows take ${expected} as ${dtype}`);
  }
}

function checkCount(call: string, name: string, count: number, least: number): void {
  if (Number.isSafeInteger(count) && count >= least) return;
  throw refusal(call, `${name} is ${count}, an integer of at least ${least} expected`);
}

const refusal = (call: string, what: string): CommError =>
  new CommError('INVALID_ARGUMENT', `${call}: ${what}; give arrays that fit numRows and hidden`);
