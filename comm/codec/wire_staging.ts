/**
 * Rows in pieces: where the codec's kernels reach them as they lie, or copied to the codec's memory and back. n rows of H channels, out of T rows in memory.
 * Why: docs/decisions/exchange.md#the-codec-works-where-rows-lie
 */
import type { FloatRows } from '../../base/float_rows.js';
import { codec, codecIn, type Codec } from './codec.js';

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

/** Rows that a codec's kernels reach: row r begins at address + 4·r·stride. */
export interface Placed {
  readonly codec: Codec;
  readonly address: number;
  readonly stride: number;
}

/** Kernels read and write whole vectors of so many channels: other rows are staged, since what lies beside them is somebody's. */
const WHOLE_CHANNELS = 16;

/** Where a codec reaches the rows; undefined where they must be staged. */
export function placed(rows: Rows): Placed | undefined {
  if (rows instanceof Float32Array || rows.hidden % WHOLE_CHANNELS !== 0) return undefined;
  const { place, stride } = rows;
  return place && { codec: codecIn(place.memory), address: place.address, stride };
}

/** What is worked on at once: several whole rows, or whole groups of one row. */
export interface Piece {
  readonly row: number;
  readonly numRows: number;
  readonly channel: number;
  readonly numChannels: number;
}

/** Calls `convert` for every piece of the rows, in the wire's order. */
export function forEachPiece(numRows: number, hidden: number, convert: (piece: Piece) => void): void {
  const { pieceValues, pieceRows } = codec();
  const mostRows = Math.max(1, Math.min(pieceRows, Math.floor(pieceValues / hidden)));
  for (let row = 0; row < numRows; row += mostRows) {
    for (let channel = 0; channel < hidden; channel += pieceValues) {
      const numChannels = Math.min(pieceValues, hidden - channel);
      convert({ row, numRows: Math.min(mostRows, numRows - row), channel, numChannels });
    }
  }
}

/** Some rows of a piece that lie one behind the other: the `count` from its row `n` on, at `address` of the codec. */
type OnRun = (address: number, n: number, count: number) => void;

/** Where a piece of rows lies, in as few runs as can be: of rows `rows[n]`, or n where `rows` is null. */
export function forEachPlacedRun({ address, stride }: Placed, rows: Int32Array | null, piece: Piece, use: OnRun): void {
  const { row, numRows, channel, numChannels } = piece;
  const first = address + 4 * channel;
  const run = (from: number, n: number, count: number): void => {
    if (stride === numChannels) return use(first + 4 * from * stride, n, count);
    for (let i = 0; i < count; i++) use(first + 4 * (from + i) * stride, n + i, 1);
  };
  if (rows === null) run(row, 0, numRows);
  else forEachRun(rows, row, numRows, (from, n, count) => run(from, n - row, count));
}

/**
 * The first address from `address` on where bytes lie as those from `index` of `bytes` on: V8 copies between shared and other memory by words where both ends are
 * aligned alike, and else byte by byte, five times as slow.
 */
export function alignedAs(bytes: Uint8Array, index: number, address: number): number {
  return address + ((bytes.byteOffset + index - address) & 7);
}

/** Copies a piece's values to address `at` of the codec's areas: x's rows `rows[n]`, or n where `rows` is null. */
export function stageValues(codec: Codec, at: number, x: Strided, rows: Int32Array | null, piece: Piece): void {
  const { row, numRows, channel, numChannels } = piece;
  const to = { cells: codec.floats.subarray(at / 4), stride: numChannels };
  if (rows === null) return copyRun(x, row, channel, to, 0, 0, numRows, numChannels);
  forEachRun(rows, row, numRows, (from, n, count) => copyRun(x, from, channel, to, n - row, 0, count, numChannels));
}

/** Copies a piece's values from address `at` of the codec's areas to out's rows `firstRow` + n. */
export function unstageValues(codec: Codec, at: number, out: Strided, firstRow: number, piece: Piece): void {
  const { row, numRows, channel, numChannels } = piece;
  const from = { cells: codec.floats.subarray(at / 4), stride: numChannels };
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

/** Rows that follow each other in x are taken as one. */
function forEachRun(
  rows: Int32Array,
  start: number,
  count: number,
  use: (from: number, to: number, count: number) => void,
): void {
  const end = start + count;
  let to = start;
  while (to < end) {
    let next = to + 1;
    while (next < end && rows[next] === rows[next - 1]! + 1) next++;
    use(rows[to]!, to, next - to);
    to = next;
  }
}
