/** From a checkpoint's tensors to the matrices and vectors that the blocks are made of. */
import type { StoredFfn, StoredMatrix } from '../../../compute/base/stored_matrix.js';
import type { FfnWeights } from '../../../compute/base/ffn_weights.js';
import { convertMatrix, isCoded, type WeightDtype, type WeightMatrix } from '../../../compute/base/weight_matrix.js';
import type { ExpertSizes } from '../../../compute/base/weight_rows.js';
import type { ResidualMix } from '../../../experts/layer/residual_mix.js';
import type { WeightSource } from '../../../compute/base/weight_source.js';
import type { ModelWeights, WeightReadOptions } from '../stored/model_weights.js';
import { WeightError } from '../../weights/errors.js';
import { Fingerprint } from '../../weights/fingerprint.js';
import { isHeadTied } from './rank_tensors.js';
import { keptDtype, type DenseResidence } from './residence.js';
import type { ModelSpec } from '../spec/spec.js';
import { biasOf, expertKey, expertPrefix, mixName } from '../spec/tensor_names.js';

/** What a {@link DenseReader} does besides reading. */
export interface DenseReaderOptions {
  readonly signal?: AbortSignal | undefined;
  /** What weights are kept as. Default auto. */
  readonly residence?: DenseResidence;
}

/** Where the dense part of a model is from. */
export interface DenseWeights {
  /** Whether the embedding is the head too. */
  isHeadTied(spec: ModelSpec): boolean;
  /** A norm or a bias, as float32. */
  vector(name: string, length: number): Promise<Float32Array>;
  /** The filter [channels, 1, width] of a convolution, as float32. */
  filter(name: string, channels: number, width: number): Promise<Float32Array>;
  /** A small matrix [rows, columns], as float32. */
  rows(name: string, shape: readonly [number, number]): Promise<Float32Array>;
  /** [out, in], as it is stored. */
  stored(name: string, shape: readonly [number, number], as: WeightDtype): StoredMatrix;
  /** What a matrix is to be kept as. */
  residentDtype(name: string): WeightDtype;
}

/** Reads the tensors that every rank holds. */
export class DenseReader implements DenseWeights {
  constructor(
    private readonly weights: ModelWeights,
    private readonly options: DenseReaderOptions = {},
  ) {}

  /** Whether the embedding is the head too. */
  isHeadTied(spec: ModelSpec): boolean {
    return isHeadTied(spec, this.weights);
  }

  /** A norm or a bias, as float32. @throws WeightError as the checkpoint */
  vector(name: string, length: number): Promise<Float32Array> {
    return this.weights.floats(name, [length], this.options);
  }

  /** A small matrix, as float32. @throws WeightError as the checkpoint */
  rows(name: string, shape: readonly [number, number]): Promise<Float32Array> {
    return this.weights.floats(name, shape, this.options);
  }

  /** The filter of a convolution, as float32. @throws WeightError as the checkpoint */
  filter(name: string, channels: number, width: number): Promise<Float32Array> {
    return this.weights.floats(name, [channels, 1, width], this.options);
  }

  /** [out, in], as it is stored; `as`: what it will be kept as. @throws WeightError as the checkpoint */
  stored(name: string, shape: readonly [number, number], as: WeightDtype): StoredMatrix {
    return this.weights.stored(name, shape, { ...this.options, as });
  }

  /** [out, in]; bf16 where that is wanted or stored, f32 otherwise. */
  async matrix(name: string, shape: readonly [number, number]): Promise<WeightMatrix> {
    const matrix = await this.weights.matrix(name, shape, this.options);
    const dtype = this.residentDtype(name);
    return isCoded(dtype) ? matrix : convertMatrix(matrix, dtype);
  }

  /** What a matrix is to be kept as. */
  residentDtype(name: string): WeightDtype {
    return keptDtype(this.weights, name, this.options.residence ?? { dense: 'auto' });
  }

  /** The three matrices of a SwiGLU network, read at once. @throws WeightError as the checkpoint */
  ffn(prefix: string, hidden: number, intermediate: number): Promise<FfnWeights> {
    const read = (name: string, shape: readonly [number, number]) => this.matrix(name, shape);
    return readFfn(read, prefix, hidden, intermediate);
  }
}

/** What mixes a layer's routed and shared experts; null: nothing does. @throws WeightError as the checkpoint */
export async function readMix(
  reader: Pick<DenseWeights, 'rows' | 'vector'>,
  { hiddenSize, moe }: ModelSpec,
  layer: number,
): Promise<ResidualMix | null> {
  if (moe.hasResidualMix !== true) return null;
  const weight_2H = await reader.rows(mixName(layer), [2, hiddenSize]);
  return { weight_2H, bias_2: await reader.vector(biasOf(mixName(layer)), 2) };
}

/** How experts are read. Both may be left out. */
export interface CheckpointExpertsOptions {
  /** Ends a read. */
  readonly signal?: AbortSignal | undefined;
  /** What an expert of a layer is kept as. Default: numbers. */
  readonly as?: ((layer: number, logical: number) => WeightDtype) | undefined;
  /** Told the digest of each expert that {@link CheckpointExperts.expert} read, by its key. Default: nobody, and nothing is hashed that needn't be. */
  readonly onDigest?: ((key: string, digest: string) => void) | undefined;
}

/** A checkpoint's routed experts. */
export class CheckpointExperts implements WeightSource {
  constructor(
    private readonly weights: ModelWeights,
    private readonly sizes: ExpertSizes,
    private readonly options: CheckpointExpertsOptions = {},
  ) {}

  /** One that is read when it is asked for; nothing is hashed. @throws WeightError as the checkpoint */
  stored(layer: number, logical: number): StoredFfn {
    const { weights, sizes, options } = this;
    const { signal } = options;
    const as = options.as?.(layer, logical);
    const open = (name: string, shape: readonly [number, number]) => weights.stored(name, shape, { signal, as });
    const prefix = expertPrefix(layer, logical);
    const matrices = ffnOf(open, prefix, sizes.hidden, sizes.intermediate);
    if (sizes.hasBias !== true) return matrices;
    for (const name of Object.values(biasNames(prefix))) weights.info(name);
    return { ...matrices, biases: () => this.biases(prefix, { signal }) };
  }

  /** @throws WeightError as the checkpoint; WEIGHTS_DIFFER where `digest` is given and another one's */
  async expert(layer: number, logical: number, digest?: string): Promise<FfnWeights> {
    const { signal, onDigest } = this.options;
    const as = this.options.as?.(layer, logical);
    const fingerprint = onDigest !== undefined || digest !== undefined ? new Fingerprint() : undefined;
    const read = (name: string, shape: readonly [number, number]) =>
      this.weights.matrix(name, shape, { signal, as, fingerprint });
    const prefix = expertPrefix(layer, logical);
    const { hidden, intermediate, hasBias } = this.sizes;
    const matrices = await readFfn(read, prefix, hidden, intermediate);
    const biases = hasBias === true ? await this.biases(prefix, { signal, fingerprint }) : undefined;
    const found = fingerprint?.digest();
    if (digest !== undefined && found !== digest) throw weightsDiffer(this.weights, prefix);
    if (found !== undefined) onDigest?.(expertKey(layer, logical), found);
    return { ...matrices, biases };
  }

  /** @throws WeightError CHECKPOINT_CHANGED: a file was written since it was opened */
  checkUnchanged(): Promise<void> {
    return this.weights.checkpoint.checkUnchanged();
  }

  /** As FfnWeights has them. */
  private async biases(prefix: string, options: WeightReadOptions): Promise<Float32Array> {
    const { hidden, intermediate } = this.sizes;
    const { gate, up, down } = biasNames(prefix);
    const read = (name: string, length: number) => this.weights.floats(name, [length], options);
    const all = await Promise.all([read(gate, intermediate), read(up, intermediate), read(down, hidden)]);
    const biases = new Float32Array(2 * intermediate + hidden);
    for (const [i, values] of all.entries()) biases.set(values, i * intermediate);
    return biases;
  }
}

const biasNames = (prefix: string): Readonly<Record<'gate' | 'up' | 'down', string>> => ({
  gate: `${prefix}.gate_proj.bias`,
  up: `${prefix}.up_proj.bias`,
  down: `${prefix}.down_proj.bias`,
});

function weightsDiffer(weights: ModelWeights, prefix: string): WeightError {
  const { file } = weights.info(`${prefix}.gate_proj.weight`);
  const message = `${file}: the weights of ${prefix} are not those of the head's model folder; copy the folder again`;
  return new WeightError('WEIGHTS_DIFFER', message, { file });
}

/** Reads the three matrices of a SwiGLU network at once. @throws what `read` does */
export async function readFfn(
  read: (name: string, shape: readonly [number, number]) => Promise<WeightMatrix>,
  prefix: string,
  hidden: number,
  intermediate: number,
): Promise<FfnWeights> {
  const { gate, up, down } = ffnOf(read, prefix, hidden, intermediate);
  const [a, b, c] = await Promise.all([gate, up, down]);
  return { gate: a, up: b, down: c };
}

/** The three matrices of a SwiGLU network, as `matrix` gives them. */
export function ffnOf<T>(
  matrix: (name: string, shape: readonly [number, number]) => T,
  prefix: string,
  hidden: number,
  intermediate: number,
): Readonly<Record<'gate' | 'up' | 'down', T>> {
  return {
    gate: matrix(`${prefix}.gate_proj.weight`, [intermediate, hidden]),
    up: matrix(`${prefix}.up_proj.weight`, [intermediate, hidden]),
    down: matrix(`${prefix}.down_proj.weight`, [hidden, intermediate]),
  };
}
