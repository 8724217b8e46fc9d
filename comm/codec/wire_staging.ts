/** Rows in pieces that fit the codec's memory, and copying the rows that were picked. n rows of H channels, out of x [T·H]. */
import { codec } from './codec.js';

/** The same memory. */
export const bytesOf = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** What is staged at once: several whole rows, or whole groups of one row. */
export interface Piece {
  readonly row: number;
  readonly numRows: number;
  readonly channel: number;
  readonly numChannels: number;
}

/** Calls `convert` for every piece of the rows, in the wire's order. */
export function forEachPiece(numRows: number, hidden: number, convert: (piece: Piece) => void): void {
  const { pieceValues } = codec();
  const mostRows = Math.max(1, Math.floor(pieceValues / hidden));
  for (let row = 0; row < numRows; row += mostRows) {
    for (let channel = 0; channel < hidden; channel += pieceValues) {
      const numChannels = Math.min(pieceValues, hidden - channel);
      convert({ row, numRows: Math.min(mostRows, numRows - row), channel, numChannels });
    }
  }
}

/** Copies a piece's values into the codec. */
export function stageValues(x: Float32Array, rows: Int32Array | null, hidden: number, piece: Piece): void {
  const { values } = codec();
  const { row, numRows, channel, numChannels } = piece;
  if (numChannels < hidden) {
    const start = (rows === null ? row : rows[row]!) * hidden + channel;
    values.set(x.subarray(start, start + numChannels));
    return;
  }
  forEachRun(rows, row, numRows, (from, to, count) => {
    values.set(x.subarray(from * hidden, (from + count) * hidden), (to - row) * hidden);
  });
}

/** f32 on the wire: the rows as they are. */
export function copyRows(
  x: Float32Array,
  rows: Int32Array | null,
  numRows: number,
  hidden: number,
  out: Uint8Array,
): void {
  const bytes = bytesOf(x);
  const rowBytes = 4 * hidden;
  forEachRun(rows, 0, numRows, (from, to, count) => {
    out.set(bytes.subarray(from * rowBytes, (from + count) * rowBytes), to * rowBytes);
  });
}

/** Rows that follow each other in x are copied as one. */
function forEachRun(
  rows: Int32Array | null,
  start: number,
  count: number,
  copy: (from: number, to: number, count: number) => void,
): void {
  if (rows === null) return copy(start, start, count);
  const end = start + count;
  let to = start;
  while (to < end) {
    let next = to + 1;
    while (next < end && rows[next] === rows[next - 1]! + 1) next++;
    copy(rows[to]!, to, next - to);
    to = next;
  }
}
