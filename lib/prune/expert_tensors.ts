/** What a checkpoint's tensors have to do with routed experts, by their stored names and shapes: whatever their format is. Pure. */
import { printable } from '../../base/foreign_text.js';
import { storedName } from '../model/stored/located.js';
import { moeLayersOf, type ModelSpec } from '../model/spec/spec.js';
import { gateBiasName, gateName, selectionBiasName } from '../model/spec/tensor_names.js';
import { predictorsOf } from '../model/weights/rank_tensors.js';
import { WeightError } from '../weights/errors.js';
import { shapeText, type TensorInfo } from '../weights/safetensors_header.js';

/** One tensor. */
export type ExpertRole =
  /** Of one expert: `name` is what it is called for another one. */
  | {
      readonly kind: 'own';
      readonly moeLayer: number;
      readonly expert: number;
      readonly nameOf: (expert: number) => string;
    }
  /** Of all experts of a layer, the first dimension that isn't 1 counts them: their weights, the router, or a bias of it. */
  | { readonly kind: 'all'; readonly moeLayer: number }
  /** Of a layer for multi-token prediction, whose experts nobody watched. */
  | { readonly kind: 'predictor' }
  | { readonly kind: 'other' };

/** Tells of any tensor of a checkpoint of this spec. `names`: of all of them. */
export function roleOf(spec: ModelSpec, names: readonly string[]): (tensor: TensorInfo) => ExpertRole {
  const places = moeLayersOf(spec).map((layer) => placesOf(spec, layer));
  const isPredicting = predictorsOf(spec, names);
  return (tensor) => {
    const { name } = tensor;
    for (const [moeLayer, { experts, shared, router }] of places.entries()) {
      if (name.startsWith(experts)) return ofExperts(tensor, experts, moeLayer, spec);
      const isOfAll =
        shared.some((prefix) => name.startsWith(prefix)) || router.some((prefix) => name.startsWith(prefix));
      if (isOfAll) return ofAll(tensor, moeLayer, spec);
    }
    return isPredicting(name) ? { kind: 'predictor' } : { kind: 'other' };
  };
}

/** Where the entries of a tensor of all experts lie. @throws WeightError SHAPE_MISMATCH for one that isn't of so many */
export function entriesOf({ name, file, shape }: TensorInfo, numExperts: number): { readonly axis: number } {
  const axis = shape.findIndex((size) => size !== 1);
  if (shape[axis] === numExperts) return { axis };
  const text = `tensor "${printable(name)}" of ${file} is [${shapeText(shape)}], which are not entries of ${numExperts} experts; use a checkpoint in a layout that docs/conformance.md lists`;
  throw new WeightError('SHAPE_MISMATCH', text, { file, tensor: name });
}

interface Places {
  /** Beginning of the names of what experts are made of. */
  readonly experts: string;
  /** Granite has no word for experts in them. */
  readonly shared: readonly string[];
  readonly router: readonly string[];
}

function placesOf({ stored }: ModelSpec, layer: number): Places {
  const experts = storedName(stored, `model.layers.${layer}.mlp.experts.`);
  const parent = experts.replace(/experts\.$/, '');
  const router = storedName(stored, gateName(layer)).replace(/weight$/, '');
  const biases = [gateBiasName(layer), selectionBiasName(layer)].map((name) => storedName(stored, name));
  return { experts, shared: [`${parent}input_linear.`, `${parent}output_linear.`], router: [router, ...biases] };
}

function ofExperts(tensor: TensorInfo, prefix: string, moeLayer: number, spec: ModelSpec): ExpertRole {
  const [, index, rest] = /^(\d+)(\..*)$/.exec(tensor.name.slice(prefix.length)) ?? [];
  if (index === undefined) return ofAll(tensor, moeLayer, spec);
  const expert = Number(index);
  if (expert < spec.moe.gate.numExperts) {
    return { kind: 'own', moeLayer, expert, nameOf: (other) => `${prefix}${other}${rest!}` };
  }
  const text = `tensor "${printable(tensor.name)}" of ${tensor.file} is of an expert that config.json doesn't have; use config.json and weights of the same model`;
  throw new WeightError('SHAPE_MISMATCH', text, { file: tensor.file, tensor: tensor.name });
}

/** A number for all experts together, such as a scale, is nobody's. */
function ofAll(tensor: TensorInfo, moeLayer: number, spec: ModelSpec): ExpertRole {
  const { numExperts } = spec.moe.gate;
  if (numExperts > 1 && tensor.shape.every((size) => size === 1)) return { kind: 'other' };
  entriesOf(tensor, numExperts);
  return { kind: 'all', moeLayer };
}
