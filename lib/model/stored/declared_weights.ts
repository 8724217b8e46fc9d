/** What config.json alone says of a model's weights, where their files aren't there: every tensor of the spec, in the type that its module is declared to have. Pure. */
import type { WeightDtype } from '../../../compute/base/weight_matrix.js';
import type { JsonObject } from '../../weights/model_files.js';
import type { Quantization } from '../spec/quantization.js';
import type { ModelSpec } from '../spec/spec.js';
import type { TensorShape } from '../spec/tensor_shape.js';
import { tensorShapesOf } from '../spec/tensor_shapes.js';
import type { Shape } from './format.js';
import { storedName } from './located.js';
import { moduleMatcher } from './module_patterns.js';
import type { KnownWeights, WeightInfo } from './model_weights.js';

/** @param config config.json, with what hf_quant_config.json says of weights */
export function declaredWeights(spec: ModelSpec, config: JsonObject): KnownWeights {
  const dtypeOf = declaredDtype(spec, textConfigOf(config));
  return rememberedWeights(
    Array.from(tensorShapesOf(spec), (tensor) => {
      const { name, shape } = tensor;
      return { name, shape: shape as Shape, dtype: dtypeOf(tensor), file: 'config.json' };
    }),
  );
}

/** What is known of some tensors, which nobody looks for again. `info` is asked for these alone. */
export function rememberedWeights(infos: readonly WeightInfo[]): KnownWeights {
  const byName = new Map(infos.map((info) => [info.name, info]));
  return {
    has: (name) => byName.has(name),
    info: (name) => byName.get(name)!,
    infos: (isWanted) => infos.filter(({ name }) => isWanted(name)),
  };
}

/** Models that see have their own configuration in that of the text. */
const textConfigOf = (config: JsonObject): JsonObject => ({
  ...config,
  ...((config.text_config ?? {}) as JsonObject),
  quantization_config:
    config.quantization_config ?? (config.text_config as JsonObject | undefined)?.quantization_config,
});

/** The type of each tensor. Embedding, head, gates and vectors are never quantised. */
function declaredDtype(spec: ModelSpec, config: JsonObject): (tensor: TensorShape) => WeightDtype {
  const plain = plainDtype(config.dtype ?? config.torch_dtype);
  const { quantization } = spec;
  if (quantization === null) return () => plain;
  const declared = (config.quantization_config ?? {}) as JsonObject;
  const coded = codedDtype(quantization, declared);
  const isLeftOut = moduleMatcher(patternsOf(declared));
  return ({ name, kind }) => {
    const isProjection = kind === 'matrix' && /_proj(_with_mqa)?\.weight$/.test(name);
    const isMeant = isProjection && (quantization.method !== 'mxfp4' || name.includes('.experts.'));
    return isMeant && !isLeftOut(storedName(spec.stored, name).replace(/\.weight$/, '')) ? coded : plain;
  };
}

/** float16 is read as float32. */
const plainDtype = (name: unknown): WeightDtype => (name === 'float16' || name === 'float32' ? 'f32' : 'bf16');

/** What the files' codes are kept as: see the formats of this folder. */
function codedDtype({ method, numBits, hasZeros }: Quantization, declared: JsonObject): WeightDtype {
  switch (method) {
    case 'fp8':
      return 'fp8';
    case 'mxfp4':
      return 'fp4';
    case 'awq':
    case 'gptq':
      return numBits === 8 ? 'f32' : 'uint4';
    case 'modelopt':
      return String(declared.quant_algo).startsWith('FP8') ? 'fp8' : 'f32';
    case 'compressed-tensors': {
      const format = JSON.stringify(declared); // of the whole, or of the groups of modules
      if (format.includes('mxfp4')) return 'fp4';
      if (format.includes('nvfp4')) return 'f32';
      if (format.includes('"type":"float"') || /"format":"(float|mxfp8)-/.test(format)) return 'fp8';
      return numBits === 8 ? 'int8' : hasZeros ? 'uint4' : 'int4';
    }
  }
}

/** Modules that aren't quantised, by what each method calls the list. */
function patternsOf(declared: JsonObject): readonly string[] {
  const lists = [declared.modules_to_not_convert, declared.ignore, declared.exclude_modules];
  const found = lists.find((list) => Array.isArray(list)) as readonly unknown[] | undefined;
  return (found ?? []).filter((pattern) => typeof pattern === 'string');
}
