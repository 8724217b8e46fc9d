/** From a checkpoint's tensors to the matrices and vectors that the blocks are made of. */
import type { LogicalExpert, Layer } from '../../comm/ids.js';
import type { FfnWeights } from '../../experts/ffn.js';
import { convertMatrix, type WeightDtype, type WeightMatrix } from '../../experts/weight_matrix.js';
import type { WeightSource } from '../../experts/weight_source.js';
import type { Checkpoint } from '../weights/checkpoint.js';
import type { Fingerprint } from '../weights/fingerprint.js';
import { denseDtype, type ResidentChoice } from './residence.js';
import { expertPrefix } from './tensor_names.js';

export interface DenseReaderOptions {
  readonly fingerprint: Fingerprint;
  readonly signal?: AbortSignal | undefined;
  /** What weights are kept as. Default auto. */
  readonly resident?: ResidentChoice;
}

/** Reads the tensors that every rank holds, and adds each to the fingerprint. */
export class DenseReader {
  private readonly checkpoint: Checkpoint;
  private readonly options: DenseReaderOptions;

  constructor(checkpoint: Checkpoint, options: DenseReaderOptions) {
    this.checkpoint = checkpoint;
    this.options = options;
  }

  vector(name: string, length: number): Promise<Float32Array> {
    return this.checkpoint.read(name, { expectedShape: [length], ...this.options });
  }

  /** [out, in]; bf16 where that is wanted or stored, f32 otherwise. */
  async matrix(name: string, shape: readonly [number, number]): Promise<WeightMatrix> {
    const matrix = await this.checkpoint.readMatrix(name, shape, this.options);
    const dtype = denseDtype(this.checkpoint.info(name), this.options.resident ?? 'auto');
    return dtype === 'int8' ? matrix : convertMatrix(matrix, dtype);
  }

  /** What a matrix is to be kept as. */
  residentDtype(name: string): WeightDtype {
    return denseDtype(this.checkpoint.info(name), this.options.resident ?? 'auto');
  }

  ffn(prefix: string, hidden: number, intermediate: number): Promise<FfnWeights> {
    const read = (name: string, shape: readonly [number, number]) => this.matrix(name, shape);
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
      this.checkpoint.readMatrix(name, shape, { signal: this.signal });
    return readFfn(read, expertPrefix(layer, logical), this.hidden, this.intermediate);
  }
}

async function readFfn(
  read: (name: string, shape: readonly [number, number]) => Promise<WeightMatrix>,
  prefix: string,
  hidden: number,
  intermediate: number,
): Promise<FfnWeights> {
  const [gate, up, down] = await Promise.all([
    read(`${prefix}.gate_proj.weight`, [intermediate, hidden]),
    read(`${prefix}.up_proj.weight`, [intermediate, hidden]),
    read(`${prefix}.down_proj.weight`, [hidden, intermediate]),
  ]);
  return { gate, up, down };
}
