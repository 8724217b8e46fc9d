/** A gated network in a kernel memory: an expert, the shared experts or a dense layer. */
import { SWIGLU, type ActivationSpec } from '../../base/activation_spec.js';
import { ExpertError } from '../../base/errors.js';
import type { Expert } from '../../base/expert_compute.js';
import type { FfnTensors, FfnWeights } from '../../base/ffn_weights.js';
import type { StoredFfn } from '../../base/stored_matrix.js';
import { ffnTensors } from '../../tfjs/experts/ffn.js';
import { matrixRowsOf, numRowsOf, type ExpertSizes } from '../../base/weight_rows.js';
import { matrixOf, type WeightMatrix } from '../../base/weight_matrix.js';
import { KernelMatrix, matrixBytes } from '../memory/kernel_matrix.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import { padded, type ResidentDtype } from '../memory/resident_dtype.js';
import { formBytes, KernelForm } from './kernel_form.js';

/** Rows of one network that go through it together, and what describes them (ffn.as.ts). */
const BLOCK_ROWS = 64;
const BLOCK_BYTES = 40;

/** Rows of a wave (ffn.as.ts). */
const waveRows = (numThreads: number): number => (numThreads === 1 ? BLOCK_ROWS : 2 * BLOCK_ROWS * numThreads);

/** Bytes of scratch that the kernel `ffn` needs for so many rows; it may hold anything. `numThreads`: that compute in the memory. */
export function ffnScratchBytes(
  { intermediate }: Pick<ExpertSizes, 'intermediate'>,
  numRows: number,
  numThreads: number,
): number {
  const most = Math.min(numRows, waveRows(numThreads));
  return BLOCK_BYTES * most + 4 * padded(intermediate) * (most + Math.min(numRows, BLOCK_ROWS) * numThreads);
}

/** Bytes of scratch that the kernel `experts` needs for so many rows of any number of experts of this shape. */
export const expertsScratchBytes = (shape: ExpertSizes, numRows: number, numThreads: number): number =>
  4 * Math.min(numRows, waveRows(numThreads)) * padded(shape.hidden) + ffnScratchBytes(shape, numRows, numThreads);

/** Multiply-adds of so many rows through a network. */
export const multiplyAddsOf = ({ hidden, intermediate }: ExpertSizes, numRows: number): number =>
  3 * hidden * intermediate * numRows;

/** Bytes that a network takes of a memory, in whole cache lines. */
export function expertBytes(sizes: ExpertSizes, dtype: ResidentDtype, activation: ActivationSpec): number {
  const { hidden, intermediate } = sizes;
  const matrices = 2 * matrixBytes(dtype, intermediate, hidden) + matrixBytes(dtype, hidden, intermediate);
  return matrices + (hasForm(sizes, activation) ? formBytes(numBiasesOf(sizes)) : 0);
}

const numBiasesOf = (sizes: ExpertSizes): number => (sizes.hasBias === true ? numRowsOf(sizes) / 2 : 0);

/** Whether it is more than SwiGLU without biases, of which kernels need be told nothing. */
const hasForm = (sizes: ExpertSizes, { kind }: ActivationSpec): boolean => sizes.hasBias === true || kind !== 'swiglu';

/** Its weights may be wanted as tensors, which are made of the resident bytes then. */
export class KernelExpert implements Expert {
  /** [intermediate, hidden] */
  readonly gate: KernelMatrix;
  /** [intermediate, hidden] */
  readonly up: KernelMatrix;
  /** [hidden, intermediate] */
  readonly down: KernelMatrix;
  private readonly form: KernelForm | null;
  private isDisposed = false;

  /** Weights of zeros. @throws ExpertError OUT_OF_MEMORY or INVALID_ARGUMENT (impossible sizes); then nothing is kept */
  constructor(
    readonly memory: KernelMemory,
    readonly shape: ExpertSizes,
    readonly dtype: ResidentDtype,
    activation: ActivationSpec = SWIGLU,
  ) {
    const { hidden, intermediate } = shape;
    const made: { dispose(): void }[] = [];
    const keep = <T extends { dispose(): void }>(part: T): T => {
      made.push(part);
      return part;
    };
    try {
      this.gate = keep(new KernelMatrix(memory, intermediate, hidden, dtype));
      this.up = keep(new KernelMatrix(memory, intermediate, hidden, dtype));
      this.down = keep(new KernelMatrix(memory, hidden, intermediate, dtype));
      this.form = hasForm(shape, activation) ? new KernelForm(memory, activation, numBiasesOf(shape)) : null;
    } catch (error) {
      for (const part of made) part.dispose();
      throw error;
    }
  }

  /** A checkpoint's weights. @throws ExpertError as the constructor and its matrices' `set`; then nothing is kept */
  static from(
    memory: KernelMemory,
    weights: FfnWeights,
    dtype: ResidentDtype,
    activation: ActivationSpec = SWIGLU,
  ): KernelExpert {
    const expert = new KernelExpert(memory, sizesOf(weights), dtype, activation);
    try {
      expert.set(weights);
    } catch (error) {
      expert.dispose();
      throw error;
    }
    return expert;
  }

  /** What the weights take of the memory. */
  get numBytes(): number {
    return this.gate.numBytes + this.up.numBytes + this.down.numBytes + 4 * numBiasesOf(this.shape);
  }

  /** Of what it does besides its projections, for kernels; 0: it is SwiGLU without biases. */
  get formAddress(): number {
    return this.form?.address ?? 0;
  }

  /** Its weights become others. @throws ExpertError as its matrices' `set`; then they are parts of both */
  set(weights: FfnWeights): void {
    for (const name of ['gate', 'up', 'down'] as const) {
      const { rows } = weights[name];
      if (rows !== this[name].rows)
        throw invalid(`${name} has ${rows} rows, not ${this[name].rows}; check the checkpoint`);
      this[name].set(weights[name]);
    }
    if (weights.biases !== undefined) this.setBiases(weights.biases);
  }

  /** All of them, as FfnWeights has them, where the shape has any. @throws ExpertError INVALID_ARGUMENT for another number */
  setBiases(values: Float32Array): void {
    this.form?.setBiases(values);
  }

  /** @throws ExpertError INVALID_ARGUMENT for rows that aren't there */
  rows(from: number, to: number): Promise<Uint8Array[]> {
    const pieces = matrixRowsOf(this.shape, from, to);
    const numRows = pieces.reduce((sum, piece) => sum + piece.to - piece.from, 0);
    if (numRows !== to - from) return Promise.reject(invalid(`an expert has no rows ${from} … ${to}; check its shape`));
    return Promise.resolve(
      pieces.map((piece) =>
        piece.name === 'biases'
          ? new Uint8Array(this.form!.biasesFrom(piece.from, piece.to).buffer)
          : this[piece.name].readRows(piece.from, piece.to),
      ),
    );
  }

  /** All of them, as FfnWeights has them; undefined: the shape has none. */
  biases(): Float32Array | undefined {
    return this.shape.hasBias === true ? this.form!.biasesFrom(0, numBiasesOf(this.shape)) : undefined;
  }

  /** Decoded from the resident weights to float32 each time. */
  tensors(): FfnTensors {
    const { gate, up, down } = this;
    const decoded = (matrix: KernelMatrix): WeightMatrix => matrixOf(matrix.toFloat32(), matrix.rows, matrix.columns);
    const matrices = { gate: decoded(gate), up: decoded(up), down: decoded(down) };
    return ffnTensors({ ...matrices, biases: this.biases() });
  }

  /** Idempotent. */
  dispose(): void {
    if (this.isDisposed) return;
    this.isDisposed = true;
    for (const part of [this.gate, this.up, this.down, this.form]) part?.dispose();
  }
}

/** Of a network in memory or on disk. */
export const sizesOf = ({ gate, biases }: FfnWeights | StoredFfn): ExpertSizes => ({
  hidden: gate.columns,
  intermediate: gate.rows,
  hasBias: biases !== undefined,
});

const invalid = (message: string): ExpertError => new ExpertError('INVALID_ARGUMENT', message);
