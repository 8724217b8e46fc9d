/** Rows of floats where they lie: in arrays, or in memory that moves when it grows. */

/** A WebAssembly memory with rows in it, in which modules of others may work too: they are given room for what they need meanwhile. */
export interface RowsMemory {
  /** The WebAssembly.Memory: shared, with 65536 pages at most. */
  readonly wasm: object;
  /** Address of {@link ROOM_BYTES} for the thread that holds the rows, a multiple of 64. What is there holds for one call. */
  readonly roomAt: number;
}

/** What {@link RowsMemory.roomAt} has. */
export const ROOM_BYTES = 240 * 1024;

/** Where rows lie in such a memory. */
export interface RowsPlace {
  readonly memory: RowsMemory;
  /** Of the first row, a multiple of 4. */
  readonly address: number;
}

/** `numRows` rows of `hidden` floats, each `stride` floats behind the one before. */
export interface FloatRows {
  readonly numRows: number;
  readonly hidden: number;
  /** At least `hidden`; what lies between rows is neither read nor written. */
  readonly stride: number;
  /**
   * From the first row on, to the end of the last one at least. Asked for anew in every turn: a view may be stale once its memory has grown, though the rows
   * stay where they are.
   */
  view(): Float32Array;
  /** Where they lie in a WebAssembly memory; undefined where they are in none that others may work in. */
  readonly place?: RowsPlace | undefined;
}

/** An array [n·H] as rows. */
export function floatRows(floats: Float32Array, hidden: number): FloatRows {
  return { numRows: floats.length / hidden, hidden, stride: hidden, view: () => floats };
}

/** `numRows` rows of others, from row `first` on. */
export function rowsFrom(rows: FloatRows, first: number, numRows: number): FloatRows {
  const { hidden, stride, place } = rows;
  const view = (): Float32Array => rows.view().subarray(first * stride);
  if (place === undefined) return { numRows, hidden, stride, view };
  const address = place.address + 4 * first * stride;
  return { numRows, hidden, stride, view, place: { memory: place.memory, address } };
}

/** An array [n·H], or rows as they are. */
export const asRows = (rows: Float32Array | FloatRows, hidden: number): FloatRows =>
  rows instanceof Float32Array ? floatRows(rows, hidden) : rows;

/** Copies all rows of `from` to the first rows of `to`, which are as wide and don't overlap them. */
export function copyFloatRows(from: FloatRows, to: FloatRows): void {
  const { numRows, hidden, stride } = from;
  const [source, target] = [from.view(), to.view()];
  if (stride === hidden && to.stride === hidden) return target.set(source.subarray(0, numRows * hidden));
  for (let row = 0; row < numRows; row++) {
    target.set(source.subarray(row * stride, row * stride + hidden), row * to.stride);
  }
}

/** A float32 as the number of nine digits that rounds to it: half as long in JSON. */
export const shortFloat = (value: number): number => Number(value.toPrecision(9));

/** The rows one behind the other [n·H]: the view itself where they lie so, else a copy. */
export function contiguous(rows: FloatRows): Float32Array {
  const { numRows, hidden, stride } = rows;
  if (stride === hidden) return rows.view().subarray(0, numRows * hidden);
  const copy = new Float32Array(numRows * hidden);
  copyFloatRows(rows, floatRows(copy, hidden));
  return copy;
}
