/** How many numbers a model has, and how many of them a token uses. Pure. */
import { expertCountsOf, type ModelSpec } from './spec.js';
import * as names from './tensor_names.js';
import { tensorShapesOf } from './tensor_shapes.js';

/** Parts of a model that are counted apart. */
export const MODEL_PARTS = [
  'embedding',
  'head',
  'attention',
  'states', // layers without keys and values
  'dense_networks',
  'shared_experts',
  'routed_experts',
  'gates',
  'norms',
] as const;
/** One of {@link MODEL_PARTS}. */
export type ModelPart = (typeof MODEL_PARTS)[number];

/** Numbers of parameters; layers for multi-token prediction and what sees pictures aren't counted, since they aren't run. */
export interface Parameters {
  readonly total: number;
  /** Without the routed experts that a token doesn't go to: what papers call active. */
  readonly active: number;
  /** The same without the embedding, of which a token reads one row. Where it is the head too, it counts. */
  readonly activeWithoutEmbedding: number;
  /** Of one routed expert. */
  readonly perExpert: number;
  readonly parts: Readonly<Record<ModelPart, number>>;
}

/** Of all layers. */
export function parametersOf(spec: ModelSpec): Parameters {
  const parts = Object.fromEntries(MODEL_PARTS.map((part) => [part, 0])) as Record<ModelPart, number>;
  for (const { name, shape } of tensorShapesOf(spec)) parts[partOf(name)] += shape.reduce((a, b) => a * b, 1);
  const { numTopk } = spec.moe.gate;
  const counts = expertCountsOf(spec);
  const numExperts = counts.reduce((sum, count) => sum + count, 0);
  const perExpert = numExperts === 0 ? 0 : parts.routed_experts / numExperts;
  const total = MODEL_PARTS.reduce((sum, part) => sum + parts[part], 0);
  const active = total - perExpert * counts.reduce((sum, count) => sum + count - numTopk, 0);
  return {
    ...{ total, active, parts },
    activeWithoutEmbedding: spec.tieWordEmbeddings ? active : active - parts.embedding,
    perExpert,
  };
}

/** By the name of a tensor. */
export function partOf(name: string): ModelPart {
  if (name === names.EMBEDDING) return 'embedding';
  if (name === names.LM_HEAD || name === names.LM_HEAD_BIAS) return 'head';
  return PARTS.find(([within]) => name.includes(within))?.[1] ?? 'norms';
}

/** The first that a name has. */
const PARTS: readonly (readonly [string, ModelPart])[] = [
  ['.self_attn.', 'attention'],
  ['.conv.', 'states'],
  ['.linear_attn.', 'states'],
  ['.mlp.gate.', 'gates'],
  ['.mlp.coefficient.', 'gates'],
  ['.mlp.experts.', 'routed_experts'],
  ['.mlp.shared_expert', 'shared_experts'],
  ['.mlp.', 'dense_networks'],
];
