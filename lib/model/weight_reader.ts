/** From a checkpoint's tensors to the matrices that the blocks multiply with. Weights are stored [out, in]; ours are [in, out], for plain x·W. */
import type { LogicalExpert, Layer } from '../../comm/ids.js';
import type { FfnWeights } from '../../experts/ffn.js';
import type { WeightSource } from '../../experts/weight_source.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import type { Fingerprint } from '../weights/fingerprint.js';
import { expertPrefix } from './tensor_names.js';

/** Reads the tensors that every rank holds, and adds each to the fingerprint. */
export class DenseReader {
  private readonly checkpoint: Checkpoint;
  private readonly options: { readonly fingerprint: Fingerprint; readonly signal?: AbortSignal | undefined };

  constructor(checkpoint: Checkpoint, options: DenseReader['options']) {
    this.checkpoint = checkpoint;
    this.options = options;
  }

  read(name: string, expectedShape: readonly number[]): Promise<Float32Array> {
    return this.checkpoint.read(name, { expectedShape, ...this.options });
  }

  /** [out, in] → [in, out] */
  readTransposed(name: string, shape: readonly [number, number]): Promise<Float32Array> {
    return this.checkpoint.readTransposed(name, shape, this.options);
  }

  ffn(prefix: string, hidden: number, intermediate: number): Promise<FfnWeights> {
    const read = (name: string, shape: readonly [number, number]) => this.readTransposed(name, shape);
    return readFfn(read, prefix, hidden, intermediate);
  }
}

/** A checkpoint's routed experts. */
export class CheckpointExperts implements WeightSource {
  private readonly checkpoint: Checkpoint;
  private readonly hidden: number;
  private readonly intermediate: number;
  private readonly signal: AbortSignal | undefined;

  constructor(checkpoint: Checkpoint, hidden: number, intermediate: number, signal?: AbortSignal) {
    this.checkpoint = checkpoint;
    this.hidden = hidden;
    this.intermediate = intermediate;
    this.signal = signal;
  }

  expert(layer: Layer, logical: LogicalExpert): Promise<FfnWeights> {
    const read = (name: string, shape: readonly [number, number]) =>
      this.checkpoint.readTransposed(name, shape, { signal: this.signal });
    return readFfn(read, expertPrefix(layer, logical), this.hidden, this.intermediate);
  }
}

type ReadTransposed = (name: string, shape: readonly [number, number]) => Promise<Float32Array>;

async function readFfn(
  read: ReadTransposed,
  prefix: string,
  hidden: number,
  intermediate: number,
): Promise<FfnWeights> {
  const [gate, up, down] = await Promise.all([
    read(`${prefix}.gate_proj.weight`, [intermediate, hidden]),
    read(`${prefix}.up_proj.weight`, [intermediate, hidden]),
    read(`${prefix}.down_proj.weight`, [hidden, intermediate]),
  ]);
  const gateUp = new Float32Array(2 * gate.length);
  for (let h = 0; h < hidden; h++) {
    gateUp.set(gate.subarray(h * intermediate, (h + 1) * intermediate), 2 * h * intermediate);
    gateUp.set(up.subarray(h * intermediate, (h + 1) * intermediate), (2 * h + 1) * intermediate);
  }
  return { hidden, intermediate, gateUp, down };
}

/** Some columns of a row-major matrix of `width` columns, in the order given. */
export function pickColumns(matrix: Float32Array, width: number, columns: readonly number[]): Float32Array {
  const numRows = matrix.length / width;
  const picked = new Float32Array(numRows * columns.length);
  for (let row = 0; row < numRows; row++) {
    for (let c = 0; c < columns.length; c++) picked[row * columns.length + c] = matrix[row * width + columns[c]!]!;
  }
  return picked;
}

/** [rows, columns] row-major → [columns, rows]. */
export function transposed(matrix: Float32Array, numRows: number, numColumns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let row = 0; row < numRows; row++) {
    for (let c = 0; c < numColumns; c++) out[c * numRows + row] = matrix[row * numColumns + c]!;
  }
  return out;
}
