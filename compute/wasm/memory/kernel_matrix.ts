/** Matrices that live in a kernel memory. */
import { ExpertError } from '../../base/errors.js';
import { floatsOf, matrixOf, type WeightMatrix } from '../../base/weight_matrix.js';
import type { KernelMemory } from './kernel_memory.js';
import { MemoryRows } from './memory_rows.js';
import {
  CODE_BYTES,
  RESIDENT_DTYPES,
  ROW_ALIGN,
  padded,
  residentBytes,
  residentRowBytes,
  scaleBytes,
  type ResidentDtype,
} from './resident_dtype.js';

/** The descriptor (memory.as.ts) is the first words of a matrix's block; elements follow on the next cache line. */
const DESCRIPTOR_BYTES = 64;

/** Bytes that a matrix takes of a memory, in whole cache lines. */
export const matrixBytes = (dtype: ResidentDtype, rows: number, columns: number): number =>
  64 * Math.ceil((DESCRIPTOR_BYTES + residentBytes(dtype, rows, columns)) / 64);

/** Weights [rows, columns], zeros at first. A disposed matrix must not be used. */
export class KernelMatrix {
  /** Of the descriptor: what kernels take. */
  readonly address: number;
  /** What the matrix takes of the memory. */
  readonly numBytes: number;
  private readonly codes: MemoryRows;
  private readonly scales: MemoryRows;
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
    const [bytes, width] = [CODE_BYTES[dtype], scaleBytes(dtype, columns)];
    const address = this.address + DESCRIPTOR_BYTES;
    this.codes = new MemoryRows(memory, address, bytes * columns, bytes * padded(columns));
    this.scales = new MemoryRows(memory, address + rows * this.codes.stride, width, width);
    const words = [address, this.scales.address, RESIDENT_DTYPES.indexOf(dtype), rows, padded(columns)];
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
   * Rows `from` … `from` + weights.rows − 1 become a checkpoint's: exactly; f32 → bf16 to nearest even; → int8 to the nearest multiple of a 127th of the
   * group's largest magnitude. @throws ExpertError INVALID_ARGUMENT for what doesn't fit, NOT_FINITE for NaN or infinity as int8 (rows before it are set)
   */
  set(weights: WeightMatrix, from = 0): void {
    const { dtype, rows, columns, bytes } = weights;
    const rowBytes = residentRowBytes(dtype, columns);
    this.checkRows(from, from + rows);
    if (columns !== this.columns || bytes.length !== rows * rowBytes) throw this.misfit(rows, columns, bytes);
    if (dtype === this.dtype) this.writeRows(from, bytes);
    else this.encodeRows(dtype === 'int8' ? matrixOf(floatsOf(weights), rows, columns) : weights, from);
  }

  /** Rows `from` … `to` − 1 as they are stored, without padding: {@link residentRowBytes} each. @throws ExpertError INVALID_ARGUMENT */
  readRows(from: number, to: number): Uint8Array<ArrayBuffer> {
    this.checkRows(from, to);
    const rowBytes = residentRowBytes(this.dtype, this.columns);
    const count = to - from;
    const out = new Uint8Array(count * rowBytes);
    this.codes.copyOut(from, count, out, rowBytes);
    this.scales.copyOut(from, count, out.subarray(this.codes.width), rowBytes);
    return out;
  }

  /** Rows from `from` on become what {@link readRows} gave, of a matrix with the same columns and dtype. @throws ExpertError INVALID_ARGUMENT */
  writeRows(from: number, bytes: Uint8Array): void {
    const rowBytes = residentRowBytes(this.dtype, this.columns);
    const count = bytes.length / rowBytes;
    if (!Number.isInteger(count)) throw this.misfit(count, this.columns, bytes);
    this.checkRows(from, from + count);
    this.codes.copyIn(from, count, bytes, rowBytes);
    this.scales.copyIn(from, count, bytes.subarray(this.codes.width), rowBytes);
  }

  /** [rows · columns]: what the arithmetic sees. */
  toFloat32(): Float32Array<ArrayBuffer> {
    const { memory, dtype, columns } = this;
    const out = new Float32Array(this.rows * columns);
    for (const { row, column, count } of this.pieces(0, this.rows)) {
      const [codes, scales] = this.addressOf(row, column);
      memory.kernels.decode(RESIDENT_DTYPES.indexOf(dtype), codes, scales, padded(count), memory.stagingAt);
      out.set(memory.floats(memory.stagingAt, count), row * columns + column);
    }
    return out;
  }

  /** Gives its block back. Idempotent. */
  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    this.memory.free(this.address);
  }

  private encodeRows({ dtype, rows, columns, bytes }: WeightMatrix, first: number): void {
    const { kernels, stagingAt } = this.memory;
    const size = CODE_BYTES[dtype];
    const [source, target] = [dtype, this.dtype].map((name) => RESIDENT_DTYPES.indexOf(name)) as [number, number];
    for (const { row, column, count } of this.pieces(first, first + rows)) {
      const start = size * ((row - first) * columns + column);
      const staged = this.memory.bytes(stagingAt, size * padded(count));
      staged.set(bytes.subarray(start, start + size * count));
      staged.fill(0, size * count);
      const [codes, scales] = this.addressOf(row, column);
      if (kernels.encode(source, padded(count), target, codes, scales) === 0) throw notFinite(row);
    }
  }

  /** Runs of values of rows `from` … `to` − 1 that can be staged; without padding, one run may go over several rows. */
  private *pieces(from: number, to: number): Generator<{ row: number; column: number; count: number }> {
    const { columns } = this;
    const most = this.memory.stagingValues;
    const rowsAtOnce = columns % ROW_ALIGN === 0 ? Math.max(1, Math.floor(most / columns)) : 1;
    for (let row = from; row < to; row += rowsAtOnce) {
      const end = columns * Math.min(rowsAtOnce, to - row);
      for (let column = 0; column < end; column += most) yield { row, column, count: Math.min(most, end - column) };
    }
  }

  /** Of a value's code and its group's scale. */
  private addressOf(row: number, column: number): [codes: number, scales: number] {
    const { codes, scales } = this;
    const bytes = CODE_BYTES[this.dtype];
    return [
      codes.address + row * codes.stride + column * bytes,
      scales.address + row * scales.stride + (4 * column) / ROW_ALIGN,
    ];
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

function notFinite(row: number): ExpertError {
  const message = `weights from row ${row} on hold NaN or infinity, for which int8 has no code; check the checkpoint, or use bf16 or f32`;
  return new ExpertError('NOT_FINITE', message);
}
