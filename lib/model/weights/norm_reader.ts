/** Norms, and the head's bias, from a checkpoint, as they are computed with. */
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import type { ModelSpec } from '../spec/spec.js';
import { biasOf, FINAL_NORM, LM_HEAD_BIAS } from '../spec/tensor_names.js';
import type { DenseWeights } from './weight_reader.js';

type VectorReader = Pick<DenseWeights, 'vector'>;

/** Inside a layer: of queries or latents, of `width` channels. @throws WeightError as the reader */
export async function readNorm(
  reader: VectorReader,
  { normOffset }: Pick<ModelSpec, 'normOffset'>,
  name: string,
  width: number,
  eps: number,
): Promise<NormWeights> {
  const stored = await reader.vector(name, width);
  return { weight: normOffset === 0 ? stored : stored.map((value) => value + normOffset), bias: null, eps };
}

/** Of hidden states. @throws WeightError as the reader */
export async function readHiddenNorm(reader: VectorReader, spec: ModelSpec, name: string): Promise<NormWeights> {
  const norm = await readNorm(reader, spec, name, spec.hiddenSize, spec.normEps);
  return spec.norm === 'rms' ? norm : { ...norm, bias: await reader.vector(biasOf(name), spec.hiddenSize) };
}

/**
 * The last one. What logits are multiplied with is in it, and in the head's bias. @throws WeightError as the reader
 * Why: docs/decisions/exactness.md#multipliers-of-logits-are-in-the-final-norm
 */
export async function readFinalNorm(reader: VectorReader, spec: ModelSpec): Promise<NormWeights> {
  const { weight, bias, eps } = await readHiddenNorm(reader, spec, FINAL_NORM);
  return { weight: scaled(weight, spec), bias: bias && scaled(bias, spec), eps };
}

/** [V]; of a head that has one. @throws WeightError as the reader */
export async function readHeadBias(reader: VectorReader, spec: ModelSpec): Promise<Float32Array> {
  return scaled(await reader.vector(LM_HEAD_BIAS, spec.vocabSize), spec);
}

const scaled = (values: Float32Array, { multipliers }: ModelSpec): Float32Array =>
  multipliers.logits === 1 ? values : values.map((value) => value * multipliers.logits);
