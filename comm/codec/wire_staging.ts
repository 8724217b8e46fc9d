/** Rows in pieces that fit the codec's memory, and copying rows there, back, and past it. n rows of H channels, out of T rows in memory. */
import type { FloatRows } from '../../base/float_rows.js';
import { codec } from './codec.js';

/** An array [T·H], or rows in any memory. */
export type Rows = Float32Array | FloatRows;

type Cells = Float32Array | Uint8Array;

/** Rows as they lie in this turn: row r begins at cell r·stride. */
export interface Strided<C extends Cells = Float32Array> {
  readonly cells: C;
  readonly stride: number;
}

/** Where rows lie now. */
export function strided(rows: Rows, hidden: number): Strided {
  if (rows instanceof Float32Array) return { cells: rows, stride: hidden };
  return { cells: rows.view(), stride: rows.stride };
}

/** The same memory. */
export function stridedBytes({ cells, stride }: Strided): Strided<Uint8Array> {
  return { cells: new Uint8Array(cells.buffer, cells.byteOffset, cells.byteLength), stride: 4 * stride };
}

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

/** Copies a piece's values to address `at` of the codec: x's rows `rows[n]`, or n where `rows` is null. */
export function stageValues(at: number, x: Strided, rows: Int32Array | null, piece: Piece): void {
  const { row, numRows, channel, numChannels } = piece;
  const to = { cells: codec().floats.subarray(at / 4), stride: numChannels };
  if (rows === null) return copyRun(x, row, channel, to, 0, 0, numRows, numChannels);
  forEachRun(rows, row, numRows, (from, n, count) => copyRun(x, from, channel, to, n - row, 0, count, numChannels));
}

/** Copies a piece's values from address `at` of the codec to out's rows `firstRow` + n. */
export function unstageValues(at: number, out: Strided, firstRow: number, piece: Piece): void {
  const { row, numRows, channel, numChannels } = piece;
  const from = { cells: codec().floats.subarray(at / 4), stride: numChannels };
  copyRun(from, 0, 0, out, firstRow + row, channel, numRows, numChannels);
}

/** Rows of `width` cells as they are: x's rows `rows[n]`, or n where `rows` is null, become out's rows `firstRow` + n. */
export function copyRows<C extends Cells>(
  x: Strided<C>,
  rows: Int32Array | null,
  numRows: number,
  width: number,
  out: Strided<C>,
  firstRow: number,
): void {
  if (rows === null) return copyRun(x, 0, 0, out, firstRow, 0, numRows, width);
  forEachRun(rows, 0, numRows, (from, n, count) => copyRun(x, from, 0, out, firstRow + n, 0, count, width));
}

/** `numChannels` channels of rows that follow each other: in one piece where they do so in both memories. */
function copyRun<C extends Cells>(
  from: Strided<C>,
  fromRow: number,
  fromChannel: number,
  to: Strided<C>,
  toRow: number,
  toChannel: number,
  numRows: number,
  numChannels: number,
): void {
  const isOne = numRows === 1 || (from.stride === numChannels && to.stride === numChannels);
  const width = isOne ? numRows * numChannels : numChannels;
  for (let row = 0; row < (isOne ? Math.min(1, numRows) : numRows); row++) {
    const start = (fromRow + row) * from.stride + fromChannel;
    to.cells.set(from.cells.subarray(start, start + width), (toRow + row) * to.stride + toChannel);
  }
}

/** Rows that follow each other in x are copied as one. */
function forEachRun(
  rows: Int32Array,
  start: number,
  count: number,
  copy: (from: number, to: number, count: number) => void,
): void {
  const end = start + count;
  let to = start;
  while (to < end) {
    let next = to + 1;
    while (next < end && rows[next] === rows[next - 1]! + 1) next++;
    copy(rows[to]!, to, next - to);
    to = next;
  }
}
