/** A SwiGLU network in a kernel memory: an expert, the shared experts or a dense layer. */
import { ExpertError } from '../errors.js';
import type { WeightMatrix } from '../weight_matrix.js';
import { expertParts, expertRowBytes, numExpertRows, type ExpertShape } from './expert_rows.js';
import { KernelMatrix } from './kernel_matrix.js';
import type { KernelMemory } from './kernel_memory.js';
import { padded, residentRowBytes, type ResidentDtype } from './resident_dtype.js';

/** Rows that go through a network at once (ffn.as.ts). */
const FFN_ROWS = 64;

/** Bytes of scratch that the kernel `ffn` needs for any number of rows; it may hold anything. */
export const ffnScratchBytes = ({ intermediate }: ExpertShape): number => 4 * FFN_ROWS * 2 * padded(intermediate);

/** Bytes of scratch that the kernel `experts` needs for any number of rows and of experts of this shape. */
export const expertsScratchBytes = (shape: ExpertShape): number =>
  4 * FFN_ROWS * padded(shape.hidden) + ffnScratchBytes(shape);

/** A checkpoint's weights of one network. */
export interface ExpertMatrices {
  /** [intermediate, hidden] */
  readonly gate: WeightMatrix;
  /** [intermediate, hidden] */
  readonly up: WeightMatrix;
  /** [hidden, intermediate] */
  readonly down: WeightMatrix;
}

export class KernelExpert {
  /** [intermediate, hidden] */
  readonly gate: KernelMatrix;
  /** [intermediate, hidden] */
  readonly up: KernelMatrix;
  /** [hidden, intermediate] */
  readonly down: KernelMatrix;

  /** Weights of zeros. @throws ExpertError OUT_OF_MEMORY or INVALID_ARGUMENT (impossible sizes); then nothing is kept */
  constructor(
    readonly memory: KernelMemory,
    readonly shape: ExpertShape,
    readonly dtype: ResidentDtype,
  ) {
    const { hidden, intermediate } = shape;
    const made: KernelMatrix[] = [];
    const make = (rows: number, columns: number): KernelMatrix => {
      const matrix = new KernelMatrix(memory, rows, columns, dtype);
      made.push(matrix);
      return matrix;
    };
    try {
      this.gate = make(intermediate, hidden);
      this.up = make(intermediate, hidden);
      this.down = make(hidden, intermediate);
    } catch (error) {
      for (const matrix of made) matrix.dispose();
      throw error;
    }
  }

  /** A checkpoint's weights. @throws ExpertError as the constructor and {@link KernelMatrix.set}; then nothing is kept */
  static from(memory: KernelMemory, weights: ExpertMatrices, dtype: ResidentDtype): KernelExpert {
    const { rows: intermediate, columns: hidden } = weights.gate;
    const expert = new KernelExpert(memory, { hidden, intermediate }, dtype);
    try {
      for (const name of ['gate', 'up', 'down'] as const) {
        const { rows } = weights[name];
        if (rows !== expert[name].rows)
          throw invalid(`${name} has ${rows} rows, not ${expert[name].rows}; check the checkpoint`);
        expert[name].set(weights[name]);
      }
    } catch (error) {
      expert.dispose();
      throw error;
    }
    return expert;
  }

  /** What the weights take of the memory. */
  get numBytes(): number {
    return this.gate.numBytes + this.up.numBytes + this.down.numBytes;
  }

  /** Rows `from` … `to` − 1 of the weights (expert_rows.ts), as they are stored. @throws ExpertError INVALID_ARGUMENT for rows that aren't there */
  rows(from: number, to: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.rowBytes(from, to));
    let at = 0;
    for (const { matrix, first, end } of expertParts(this.shape, from, to)) {
      const bytes = this[matrix].readRows(first, end);
      out.set(bytes, at);
      at += bytes.length;
    }
    return out;
  }

  /** Rows `from` … `to` − 1 become what {@link rows} gave, of an expert of the same shape and dtype. @throws ExpertError INVALID_ARGUMENT */
  setRows(from: number, to: number, bytes: Uint8Array): void {
    const numBytes = this.rowBytes(from, to);
    if (bytes.length !== numBytes)
      throw invalid(
        `rows ${from} … ${to} are ${numBytes} bytes, not ${bytes.length}; use one shape and dtype on all ranks`,
      );
    let at = 0;
    for (const { matrix, first, end } of expertParts(this.shape, from, to)) {
      const next = at + (end - first) * residentRowBytes(this.dtype, this[matrix].columns);
      this[matrix].writeRows(first, bytes.subarray(at, next));
      at = next;
    }
  }

  private rowBytes(from: number, to: number): number {
    const numRows = numExpertRows(this.shape);
    if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= numRows))
      throw invalid(`rows ${from} … ${to} are not rows of an expert's ${numRows}; check the shape`);
    return expertRowBytes(this.shape, this.dtype, from, to);
  }

  /** Idempotent. */
  dispose(): void {
    for (const matrix of [this.gate, this.up, this.down]) matrix.dispose();
  }
}

const invalid = (message: string): ExpertError => new ExpertError('INVALID_ARGUMENT', message);
