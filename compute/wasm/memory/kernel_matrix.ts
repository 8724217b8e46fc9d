/** Matrices that live in a kernel memory. */
import { ExpertError } from '../../base/errors.js';
import type { StoredDtype } from '../../base/stored_matrix.js';
import {
  CHOICE_DTYPES,
  groupHeadBytes,
  weightRowBytes,
  type WeightDtype,
  type WeightMatrix,
} from '../../base/weight_matrix.js';
import type { KernelMemory } from './kernel_memory.js';
import { PANEL, RESIDENT_DTYPES, ROW_ALIGN, padded, residentBytes, type ResidentDtype } from './resident_dtype.js';

/** The descriptor (memory.as.ts) is the first words of a matrix's block; elements follow on the next cache line. */
const DESCRIPTOR_BYTES = 64;

/** Bytes that a matrix takes of a memory, in whole cache lines. */
export const matrixBytes = (dtype: ResidentDtype, rows: number, columns: number): number =>
  64 * Math.ceil((DESCRIPTOR_BYTES + residentBytes(dtype, rows, columns)) / 64);

/** Some rows of a panel, and some of their columns, from a group's first on. */
interface Piece {
  readonly row: number;
  readonly numRows: number;
  readonly column: number;
  readonly numColumns: number;
}

/** Weights [rows, columns], zeros at first. A disposed matrix must not be used. */
export class KernelMatrix {
  /** Of the descriptor: what kernels take. */
  readonly address: number;
  /** What the matrix takes of the memory. */
  readonly numBytes: number;
  private isDisposed = false;

  /** @throws ExpertError INVALID_ARGUMENT for an impossible shape, OUT_OF_MEMORY */
  constructor(
    readonly memory: KernelMemory,
    readonly rows: number,
    readonly columns: number,
    readonly dtype: ResidentDtype,
  ) {
    if (![rows, columns].every((n) => Number.isSafeInteger(n) && n > 0))
      throw new ExpertError('INVALID_ARGUMENT', `a matrix can't have ${rows} rows of ${columns}; give positive sizes`);
    this.numBytes = DESCRIPTOR_BYTES + residentBytes(dtype, rows, columns);
    this.address = memory.allocate(this.numBytes);
    const words = [this.address + DESCRIPTOR_BYTES, RESIDENT_DTYPES.indexOf(dtype), rows, padded(columns)];
    memory.words(this.address, words.length).set(words);
  }

  /** A checkpoint's weights. @throws ExpertError as the constructor and {@link set}; then nothing is kept */
  static from(memory: KernelMemory, weights: WeightMatrix, dtype: ResidentDtype): KernelMatrix {
    const matrix = new KernelMatrix(memory, weights.rows, weights.columns, dtype);
    try {
      matrix.set(weights);
    } catch (error) {
      matrix.dispose();
      throw error;
    }
    return matrix;
  }

  /**
   * Rows `from` … `from` + weights.rows − 1 become a checkpoint's: exactly; f32 → bf16 to nearest even; → codes by the rule of code_rounding.ts.
   * @throws ExpertError INVALID_ARGUMENT for what doesn't fit, NOT_FINITE for NaN or infinity as codes (rows of panels before it are set)
   */
  set(weights: WeightMatrix, from = 0): void {
    const { dtype, rows, columns, bytes } = weights;
    const rowBytes = weightRowBytes(dtype, columns);
    this.checkRows(from, from + rows);
    if (columns !== this.columns || bytes.length !== rows * rowBytes) throw this.misfit(rows, columns, bytes);
    this.checkSource(dtype);
    const { kernels, stagingAt } = this.memory;
    for (const piece of this.pieces(from, from + rows)) {
      const { row, numRows, column } = piece;
      const count = padded(piece.numColumns);
      this.stage(weights, piece, row - from);
      const source = [dtypeNumber(dtype), stagingAt, weightRowBytes(dtype, count)] as const;
      const wrong = kernels.pack(...source, numRows, count, this.address, row, column);
      if (wrong >= 0) throw notFinite(row + wrong, this.dtype);
    }
  }

  /** The same for rows that lie elsewhere in the matrix's memory, one behind the other. @throws ExpertError as {@link set} */
  setStored(dtype: StoredDtype, address: number, numRows: number, to: number): void {
    this.checkRows(to, to + numRows);
    this.checkSource(dtype);
    const { kernels } = this.memory;
    const wrong = kernels.packRows(dtypeNumber(dtype), address, numRows, this.columns, this.address, to);
    if (wrong >= 0) throw notFinite(to + wrong, this.dtype);
  }

  /** Address to which `numRows` rows from `from` on may be written as they are stored, before {@link setInPlace}; null: they take another form, or share a panel with others. */
  placeOf(dtype: StoredDtype, from: number, numRows: number): number | null {
    const isWhole = from % PANEL === 0 && (numRows % PANEL === 0 || from + numRows === this.rows);
    const isSame = dtype === this.dtype && this.columns % ROW_ALIGN === 0;
    return isWhole && isSame ? this.address + DESCRIPTOR_BYTES + from * weightRowBytes(this.dtype, this.columns) : null;
  }

  /** Rows that were written to {@link placeOf} become those of the matrix; of their last panel, the others become zeros. `buffer`: room for {@link PANEL} of them. */
  setInPlace(numRows: number, from: number, buffer: number): void {
    this.checkRows(from, from + numRows);
    this.memory.kernels.packInPlace(numRows, this.address, from, buffer);
  }

  /** Rows `from` … `to` − 1 as they are stored, without padding: {@link weightRowBytes} each. @throws ExpertError INVALID_ARGUMENT */
  readRows(from: number, to: number): Uint8Array<ArrayBuffer> {
    this.checkRows(from, to);
    const { dtype, columns } = this;
    const out = new Uint8Array((to - from) * weightRowBytes(dtype, columns));
    for (const piece of this.pieces(from, to)) this.unstage(dtype, piece, piece.row - from, out);
    return out;
  }

  /** Rows from `from` on become what {@link readRows} gave, of a matrix with the same columns and dtype. @throws ExpertError INVALID_ARGUMENT */
  writeRows(from: number, bytes: Uint8Array): void {
    const { dtype, columns } = this;
    const rows = bytes.length / weightRowBytes(dtype, columns);
    if (!Number.isInteger(rows)) throw this.misfit(rows, columns, bytes);
    this.set({ dtype, rows, columns, bytes }, from);
  }

  /** [rows · columns]: what the arithmetic sees. */
  toFloat32(): Float32Array<ArrayBuffer> {
    const out = new Float32Array(this.rows * this.columns);
    const bytes = new Uint8Array(out.buffer);
    for (const piece of this.pieces(0, this.rows)) this.unstage('f32', piece, piece.row, bytes);
    return out;
  }

  /** Gives its block back. Idempotent. */
  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    this.memory.free(this.address);
  }

  /** Puts a piece of rows where the kernels take it, padded to whole groups; `first`: of the weights' rows. */
  private stage({ dtype, columns, bytes }: WeightMatrix, piece: Piece, first: number): void {
    const { numRows, numColumns } = piece;
    const rowBytes = weightRowBytes(dtype, columns);
    const stagedBytes = weightRowBytes(dtype, padded(numColumns));
    const staged = this.memory.bytes(this.memory.stagingAt, numRows * stagedBytes);
    if (stagedBytes === rowBytes) {
      staged.set(bytes.subarray(first * rowBytes, (first + numRows) * rowBytes));
      return;
    }
    const at = weightRowBytes(dtype, piece.column);
    const numBytes = weightRowBytes(dtype, numColumns);
    if (numColumns % ROW_ALIGN !== 0) staged.fill(0);
    for (let i = 0; i < numRows; i++) {
      const start = (first + i) * rowBytes + at;
      staged.set(bytes.subarray(start, start + numBytes), i * stagedBytes);
      if (dtype === 'uint4') padZeros(staged.subarray(i * stagedBytes, (i + 1) * stagedBytes), numColumns);
    }
  }

  /** The other way: a piece of rows of `dtype`, the matrix's own or f32, into rows `first` … of `out`. */
  private unstage(dtype: ResidentDtype, piece: Piece, first: number, out: Uint8Array): void {
    const { memory, columns } = this;
    const { row, numRows, column, numColumns } = piece;
    memory.kernels.unpack(this.address, row, numRows, column, padded(numColumns), Number(dtype === 'f32'));
    const rowBytes = weightRowBytes(dtype, columns);
    const stagedBytes = weightRowBytes(dtype, padded(numColumns));
    const staged = memory.bytes(memory.stagingAt, numRows * stagedBytes);
    if (stagedBytes === rowBytes) {
      out.set(staged, first * rowBytes);
      return;
    }
    const at = weightRowBytes(dtype, column);
    const numBytes = weightRowBytes(dtype, numColumns);
    for (let i = 0; i < numRows; i++) {
      const start = i * stagedBytes;
      out.set(staged.subarray(start, start + numBytes), (first + i) * rowBytes + at);
      if (dtype === 'uint4' && numColumns % 2 === 1) out[(first + i) * rowBytes + at + numBytes - 1]! &= 15; // what pads the group
    }
  }

  /** Rows `from` … `to` − 1 in pieces that can be staged: of one panel each. */
  private *pieces(from: number, to: number): Generator<Piece> {
    const { columns } = this;
    const { stagingColumns } = this.memory;
    for (let row = from; row < to;) {
      const numRows = Math.min(to - row, PANEL - (row % PANEL));
      for (let column = 0; column < columns; column += stagingColumns)
        yield { row, numRows, column, numColumns: Math.min(stagingColumns, columns - column) };
      row += numRows;
    }
  }

  /** Of codes that nothing is rounded to. */
  private checkSource(dtype: StoredDtype): void {
    if (dtype === this.dtype || CHOICE_DTYPES.some((each) => each === this.dtype)) return;
    const message = `${dtype} weights can't become ${this.dtype}; keep them as one of ${CHOICE_DTYPES.join(', ')}`;
    throw new ExpertError('INVALID_ARGUMENT', message);
  }

  private checkRows(from: number, to: number): void {
    if (Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= this.rows) return;
    throw new ExpertError('INVALID_ARGUMENT', `rows ${from} … ${to} are not rows of ${this.rows}; check the shape`);
  }

  private misfit(rows: number, columns: number, { length }: Uint8Array): ExpertError {
    const what = `${length} bytes as ${rows} rows of ${columns}`;
    return new ExpertError(
      'INVALID_ARGUMENT',
      `${what} don't fit a matrix of ${this.columns} columns; check the shape`,
    );
  }
}

/** As in memory.as.ts. */
const dtypeNumber = (dtype: WeightDtype | StoredDtype): number =>
  dtype === 'f16' ? RESIDENT_DTYPES.length : RESIDENT_DTYPES.indexOf(dtype);

/** What a row has behind its `count` values, up to a whole group of uint4: codes of zero. */
function padZeros(row: Uint8Array, count: number): void {
  const first = count % ROW_ALIGN;
  if (first === 0) return;
  const group = weightRowBytes('uint4', count - first);
  const zero = new DataView(row.buffer, row.byteOffset + group).getFloat32(4, true) & 15;
  for (let i = first; i < ROW_ALIGN; i++) row[group + groupHeadBytes('uint4') + (i >> 1)]! |= zero << (4 * (i & 1));
}

function notFinite(row: number, dtype: ResidentDtype): ExpertError {
  const message = `weights from row ${row} on hold NaN or infinity, for which ${dtype} has no code; check the checkpoint, or use bf16 or f32`;
  return new ExpertError('NOT_FINITE', message);
}
