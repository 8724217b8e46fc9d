/** What a rank keeps its weights as, and what computes with them: decided from the headers of a checkpoint, before a weight is read. Pure. */
import { ExpertError } from '../../../compute/base/errors.js';
import { expertDtype, packedDtypes, type ExpertDtypes } from '../../../compute/base/expert_dtypes.js';
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import type { BackendChoice, BackendName } from '../../../compute/tfjs/tf.js';
import { isCoded, type WeightDtype } from '../../../compute/base/weight_matrix.js';
import type { KnownWeights, WeightInfo } from '../stored/model_weights.js';
import { isExpertTensor } from './rank_tensors.js';
import { expertOf } from '../spec/slices.js';
import { moeLayersOf, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { overrideFor, type ResidentChoice, type ResidentOverride } from './resident_overrides.js';

/** What computes: the fused kernels (compute/wasm), or TensorFlow.js operations. */
export type Compute = 'kernels' | 'tensors';

export type { ResidentChoice } from './resident_overrides.js';

/** What was decided for one rank. `dense` may still be `auto`: each tensor is kept as it is stored then. */
export interface Residence {
  readonly compute: Compute;
  readonly experts: ExpertDtypes;
  readonly dense: ResidentChoice;
  /** What tensors besides the routed experts are kept as instead. Default: none. */
  readonly overrides?: readonly ResidentOverride[];
  /** What keys and values are kept as. Default f32. */
  readonly kv?: KvDtype;
}

/** Of weights besides the routed experts. */
export type DenseResidence = Pick<Residence, 'dense' | 'overrides'>;

/** What the configuration wants. */
export interface ResidenceChoice {
  /** `auto`: the kernels where the backend is wasm. */
  readonly compute: Compute | 'auto';
  readonly experts: ResidentChoice;
  readonly dense: ResidentChoice;
  /** Of experts and all other weights. Default: none. */
  readonly overrides?: readonly ResidentOverride[];
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
  const { overrides = [] } = choice;
  const coded = [choice.experts, choice.dense, ...overrides.map((each) => each.choice)].find(isCoded);
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
    ...(overrides.length > 0 && { overrides }),
    experts: expertDtypes(choice.experts, overrides, compute, weights),
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

/** What each routed expert is kept as: its override, what is wanted of all, or what holds its stored matrices to the bit. */
function expertDtypes(
  choice: ResidentChoice,
  overrides: readonly ResidentOverride[],
  compute: Compute,
  weights: KnownWeights,
): ExpertDtypes {
  if (choice !== 'auto' && overrides.length === 0) return choice;
  const layers = new Map<number, Map<number, WeightInfo[]>>();
  for (const info of weights.infos((name) => isExpertTensor(name) && name.endsWith('.weight'))) {
    const [layer, expert] = (EXPERT.exec(info.name)!.slice(1) as [string, string]).map(Number) as [number, number];
    const experts = layers.get(layer) ?? new Map<number, WeightInfo[]>();
    layers.set(layer, experts.set(expert, [...(experts.get(expert) ?? []), info]));
  }
  const inOrder = <T>(map: ReadonlyMap<number, T>): T[] => [...map].sort(([a], [b]) => a - b).map(([, value]) => value);
  const table = inOrder(layers).map((experts) =>
    inOrder(experts).map((infos) => {
      const wanted =
        overrideFor(
          overrides,
          infos.map(({ name }) => name),
        ) ?? choice;
      return wanted === 'auto' ? storedDtype(infos, compute) : wanted;
    }),
  );
  return table.length === 0 ? 'f32' : packedDtypes(table);
}

const EXPERT = /^model\.layers\.(\d+)\.mlp\.experts\.(\d+)\./;

/** What holds one expert to the bit. */
function storedDtype(infos: readonly WeightInfo[], compute: Compute): WeightDtype {
  const dtype = commonDtype(infos.map((info) => info.dtype));
  return compute === 'tensors' && isCoded(dtype) ? 'f32' : dtype;
}

/** What holds matrices of these types to the bit. */
export function commonDtype([first = 'f32', ...others]: readonly WeightDtype[]): WeightDtype {
  return others.every((dtype) => dtype === first) ? first : 'f32';
}

/** What a matrix outside the routed experts is kept as, with those that it makes one network or one matrix with. @throws WeightError as the weights */
export function keptDtype(weights: KnownWeights, name: string, residence: DenseResidence): WeightDtype {
  const together = TOGETHER.find(([pattern]) => pattern.test(name));
  const names = together === undefined ? [name] : together[1].map((part) => name.replace(together[0], part));
  const found = names.filter((each) => each === name || weights.has(each));
  const choice = overrideFor(residence.overrides ?? [], found) ?? residence.dense;
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
  const isExact = isNeverCoded(name);
  const stored = isExact && isCoded(dtype) ? 'f32' : dtype;
  return choice === 'auto' || (isExact && isCoded(choice)) ? stored : choice;
}

/** Gates, which choose experts, and the embedding. */
export const isNeverCoded = (name: string): boolean =>
  name === names.EMBEDDING || /\.mlp\.(gate|shared_expert_gate)\.weight$/.test(name);
