/**
 * Channels that are made larger in the weights that are quantised, and smaller where they come from: an unrounded model stays the same function, to the bit, since factors are powers of two.
 * Pure. Shape suffixes: H hidden, I intermediate. Why: docs/decisions/formats.md#channels-are-scaled-by-powers-of-two
 */
import { gateOf, type ModelSpec } from '../../model/spec/spec.js';
import { tensorShapesOf } from '../../model/spec/tensor_shapes.js';
import { biasOf, expertPrefix, mlpNormName } from '../../model/spec/tensor_names.js';

/** What one MoE layer's channels are multiplied with: powers of two. */
export interface LayerScaling {
  /** As the model numbers it. */
  readonly layer: number;
  /** [H] of what experts take: divided in the norm before them, multiplied in columns of all that reads it. Null: none. */
  readonly inputs: Float32Array | null;
  /** By expert, [I] of what its down_proj takes: divided in rows of up_proj. Experts that aren't here keep theirs. */
  readonly inner: ReadonlyMap<number, Float32Array>;
}

/** Factors of one tensor: a value at (row, column) is multiplied with both. */
export interface Factors {
  readonly rows?: Float32Array | undefined;
  readonly columns?: Float32Array | undefined;
}

/** Whether the norm before experts can take factors: one that is stored as a difference from 1 can't to the bit. */
export const canScaleInputs = ({ normOffset }: Pick<ModelSpec, 'normOffset'>): boolean => normOffset === 0;

/** Whether what lies between an expert's projections is linear in up_proj. */
export const canScaleInner = ({ moe }: Pick<ModelSpec, 'moe'>): boolean =>
  moe.activation.kind === 'swiglu' && !moe.hasExpertBias;

/** All factors of a model by our names of tensors; those that aren't in it stay. */
export function factorsOf(spec: ModelSpec, scalings: readonly LayerScaling[]): Map<string, Factors> {
  const all = new Map<string, Factors>();
  for (const { layer, inputs, inner } of scalings) {
    if (inputs !== null) addInputs(all, spec, layer, inputs);
    for (const [expert, columns] of inner) {
      const prefix = expertPrefix(layer, expert);
      const up = `${prefix}.up_proj.weight`;
      all.set(up, { ...all.get(up), rows: inverse(columns) });
      all.set(`${prefix}.down_proj.weight`, { columns });
    }
  }
  return all;
}

/** What reads the norm's output: all matrices of the layer's network but those behind an activation. */
function addInputs(all: Map<string, Factors>, spec: ModelSpec, layer: number, columns: Float32Array): void {
  const norm = mlpNormName(layer);
  const prefix = norm.replace('post_attention_layernorm.weight', 'mlp.');
  all.set(norm, { columns: inverse(columns) });
  if (spec.norm === 'layer') all.set(biasOf(norm), { columns: inverse(columns) });
  for (const { name, kind } of tensorShapesOf(spec)) {
    if (name.startsWith(prefix) && kind === 'matrix' && !name.endsWith('.down_proj.weight')) all.set(name, { columns });
  }
}

const inverse = (factors: Float32Array): Float32Array => factors.map((factor) => 1 / factor);

/** Multiplies the values of a tensor in place. `columns`: of the last dimension. */
export function scale(values: Float32Array, columns: number, factors: Factors | undefined): void {
  if (factors === undefined) return;
  for (let i = 0; i < values.length; i += columns) {
    const row = factors.rows?.[i / columns] ?? 1;
    for (let c = 0; c < columns; c++) values[i + c]! *= row * (factors.columns?.[c] ?? 1);
  }
}

/** [E] experts of a layer. */
export const expertsOf = (spec: ModelSpec, layer: number): number[] =>
  Array.from({ length: gateOf(spec, layer).numExperts }, (_, expert) => expert);
