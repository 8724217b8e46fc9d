/** What a rank keeps its weights as, and what computes with them: decided from the headers of a checkpoint, before a weight is read. Pure. */
import { ExpertError } from '../../../compute/base/errors.js';
import { expertDtype, type ExpertDtypes } from '../../../compute/base/expert_dtypes.js';
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import type { BackendChoice, BackendName } from '../../../compute/tfjs/tf.js';
import { isCoded, type CHOICE_DTYPES, type WeightDtype } from '../../../compute/base/weight_matrix.js';
import type { KnownWeights, WeightInfo } from '../stored/model_weights.js';
import { isExpertTensor } from './rank_tensors.js';
import { expertOf } from '../spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';

/** What computes: the fused kernels (compute/wasm), or TensorFlow.js operations. */
export type Compute = 'kernels' | 'tensors';

/** `auto`: as it is stored, to the bit; where nothing holds that, f32. */
export type ResidentChoice = (typeof CHOICE_DTYPES)[number] | 'auto';

/** What was decided for one rank. `dense` may still be `auto`: each tensor is kept as it is stored then. */
export interface Residence {
  readonly compute: Compute;
  readonly experts: ExpertDtypes;
  readonly dense: ResidentChoice;
  /** What keys and values are kept as. Default f32. */
  readonly kv?: KvDtype;
}

/** What the configuration wants. */
export interface ResidenceChoice {
  /** `auto`: the kernels where the backend is wasm. */
  readonly compute: Compute | 'auto';
  readonly experts: ResidentChoice;
  readonly dense: ResidentChoice;
  /** Default f32. */
  readonly kv?: KvDtype;
}

/** What a rank's backend is chosen from: the kernels, where they are asked for, run beside one alone. */
export const backendOf = (choice: BackendChoice, { compute }: Pick<ResidenceChoice, 'compute'>): BackendChoice =>
  choice === 'auto' && compute === 'kernels' ? 'wasm' : choice;

/** @throws ExpertError BACKEND_UNAVAILABLE for kernels beside another backend, INVALID_ARGUMENT for weights in codes, and keys and values other than f32, without kernels */
export function residenceOf(choice: ResidenceChoice, backend: BackendName, weights: KnownWeights): Residence {
  const compute = choice.compute === 'auto' ? (backend === 'wasm' ? 'kernels' : 'tensors') : choice.compute;
  if (compute === 'kernels' && backend !== 'wasm') {
    const message = `compute: kernels goes with backend: wasm, this rank has ${backend}; set backend: wasm, or compute: auto`;
    throw new ExpertError('BACKEND_UNAVAILABLE', message);
  }
  const coded = [choice.experts, choice.dense].find(isCoded);
  if (compute === 'tensors' && coded !== undefined) {
    const message = `${coded} weights need compute: kernels, this rank computes with ${backend} tensors; choose bf16 or f32, or backend: wasm`;
    throw new ExpertError('INVALID_ARGUMENT', message);
  }
  const { kv = 'f32' } = choice;
  if (compute === 'tensors' && kv !== 'f32') {
    const message = `engine.kv_dtype is ${kv}, which needs compute: kernels, this rank computes with ${backend} tensors; choose f32, or backend: wasm`;
    throw new ExpertError('INVALID_ARGUMENT', message);
  }
  return {
    ...{ compute, kv },
    dense: choice.dense,
    experts: choice.experts === 'auto' ? storedDtype(weights, compute) : choice.experts,
  };
}

/** What each routed expert is kept as; layers are numbered as in the model. */
export function expertDtypeIn(spec: ModelSpec, dtypes: ExpertDtypes): (layer: number, logical: number) => WeightDtype {
  const moeLayers = new Map(Array.from(moeLayersOf(spec).entries(), ([moeLayer, layer]) => [layer, moeLayer]));
  return (layer, logical) => expertDtype(dtypes, moeLayers.get(layer)!, logical);
}

/** The same by the numbers that placements have: of slices, where experts are divided. */
export function heldDtypeIn(spec: ModelSpec, dtypes: ExpertDtypes): (layer: number, held: number) => WeightDtype {
  const dtypeOf = expertDtypeIn(spec, dtypes);
  return (layer, held) => dtypeOf(layer, expertOf(spec, held));
}

/** What routed experts are stored as, if that is the same for all. */
function storedDtype(weights: KnownWeights, compute: Compute): WeightDtype {
  const experts = weights.infos((name) => isExpertTensor(name) && name.endsWith('.weight'));
  const dtype = commonDtype(experts.map(({ dtype }) => dtype));
  return compute === 'tensors' && isCoded(dtype) ? 'f32' : dtype;
}

/** What holds matrices of these types to the bit. */
export function commonDtype([first = 'f32', ...others]: readonly WeightDtype[]): WeightDtype {
  return others.every((dtype) => dtype === first) ? first : 'f32';
}

/** What a matrix outside the routed experts is kept as, with those that it makes one network or one matrix with. @throws WeightError as the weights */
export function keptDtype(weights: KnownWeights, name: string, choice: ResidentChoice): WeightDtype {
  const together = TOGETHER.find(([pattern]) => pattern.test(name));
  const names = together === undefined ? [name] : together[1].map((part) => name.replace(together[0], part));
  const found = names.filter((each) => each === name || weights.has(each));
  return commonDtype(found.map((each) => denseDtype(weights.info(each), choice)));
}

/** Matrices of one type. */
const TOGETHER: readonly (readonly [RegExp, readonly string[]])[] = [
  [/\b(gate|up|down)_proj\.weight$/, ['gate_proj.weight', 'up_proj.weight', 'down_proj.weight']],
  [/\bin_proj_(qkv|z)\.weight$/, ['in_proj_qkv.weight', 'in_proj_z.weight']],
  [/\bin_proj_(b|a)\.weight$/, ['in_proj_b.weight', 'in_proj_a.weight']],
];

/** What a tensor outside the routed experts is stored as, or is to be. Gates and the embedding never become codes. */
export function denseDtype({ name, dtype }: Pick<WeightInfo, 'name' | 'dtype'>, choice: ResidentChoice): WeightDtype {
  const isExact = name === names.EMBEDDING || /\.mlp\.(gate|shared_expert_gate)\.weight$/.test(name);
  const stored = isExact && isCoded(dtype) ? 'f32' : dtype;
  return choice === 'auto' || (isExact && isCoded(choice)) ? stored : choice;
}
