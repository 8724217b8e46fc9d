/** A SwiGLU network in a kernel memory: an expert, the shared experts or a dense layer. */
import { ExpertError } from '../../base/errors.js';
import type { Expert } from '../../base/expert_compute.js';
import type { FfnTensors, FfnWeights } from '../../base/ffn_weights.js';
import { ffnTensors } from '../../tfjs/experts/ffn.js';
import { matrixRowsOf, type ExpertShape } from '../../base/weight_rows.js';
import { matrixOf, type WeightMatrix } from '../../base/weight_matrix.js';
import { KernelMatrix } from '../memory/kernel_matrix.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import { padded, type ResidentDtype } from '../memory/resident_dtype.js';

/** Rows of one network that go through it together, and what describes them (ffn.as.ts). */
const BLOCK_ROWS = 64;
const BLOCK_BYTES = 36;

/** Rows of a wave (ffn.as.ts). */
const waveRows = (numThreads: number): number => (numThreads === 1 ? BLOCK_ROWS : 2 * BLOCK_ROWS * numThreads);

/** Bytes of scratch that the kernel `ffn` needs for so many rows; it may hold anything. `numThreads`: that compute in the memory. */
export function ffnScratchBytes(
  { intermediate }: Pick<ExpertShape, 'intermediate'>,
  numRows: number,
  numThreads: number,
): number {
  const most = Math.min(numRows, waveRows(numThreads));
  return BLOCK_BYTES * most + 4 * padded(intermediate) * (most + Math.min(numRows, BLOCK_ROWS) * numThreads);
}

/** Bytes of scratch that the kernel `experts` needs for so many rows of any number of experts of this shape. */
export const expertsScratchBytes = (shape: Omit<ExpertShape, 'dtype'>, numRows: number, numThreads: number): number =>
  4 * Math.min(numRows, waveRows(numThreads)) * padded(shape.hidden) + ffnScratchBytes(shape, numRows, numThreads);

/** Multiply-adds of so many rows through a network. */
export const multiplyAddsOf = ({ hidden, intermediate }: Omit<ExpertShape, 'dtype'>, numRows: number): number =>
  3 * hidden * intermediate * numRows;

/** Its weights may be wanted as tensors, which are made of the resident bytes then. */
export class KernelExpert implements Expert {
  /** [intermediate, hidden] */
  readonly gate: KernelMatrix;
  /** [intermediate, hidden] */
  readonly up: KernelMatrix;
  /** [hidden, intermediate] */
  readonly down: KernelMatrix;

  /** Weights of zeros. @throws ExpertError OUT_OF_MEMORY or INVALID_ARGUMENT (impossible sizes); then nothing is kept */
  constructor(
    readonly memory: KernelMemory,
    readonly shape: Omit<ExpertShape, 'dtype'>,
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
  static from(memory: KernelMemory, weights: FfnWeights, dtype: ResidentDtype): KernelExpert {
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

  /** @throws ExpertError INVALID_ARGUMENT for rows that aren't there */
  rows(from: number, to: number): Promise<Uint8Array[]> {
    const pieces = matrixRowsOf(this.shape, from, to);
    const numRows = pieces.reduce((sum, piece) => sum + piece.to - piece.from, 0);
    if (numRows !== to - from) return Promise.reject(invalid(`an expert has no rows ${from} … ${to}; check its shape`));
    return Promise.resolve(pieces.map((piece) => this[piece.name].readRows(piece.from, piece.to)));
  }

  /** Decoded from the resident weights to float32 each time. */
  tensors(): FfnTensors {
    const decoded = (matrix: KernelMatrix): WeightMatrix => matrixOf(matrix.toFloat32(), matrix.rows, matrix.columns);
    return ffnTensors({ gate: decoded(this.gate), up: decoded(this.up), down: decoded(this.down) });
  }

  /** Idempotent. */
  dispose(): void {
    for (const matrix of [this.gate, this.up, this.down]) matrix.dispose();
  }
}

const invalid = (message: string): ExpertError => new ExpertError('INVALID_ARGUMENT', message);
