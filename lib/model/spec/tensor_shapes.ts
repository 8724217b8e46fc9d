/** Names and shapes of all tensors that a model of some spec is loaded from, in the order of its layers. */
import type { AttentionSpec, ModelSpec } from './spec.js';
import * as names from './tensor_names.js';

/** `matrix` [out, in] of a linear layer; `embedding` [V, H]; `norm` and `bias` are vectors. */
export type TensorKind = 'matrix' | 'embedding' | 'norm' | 'bias';

/** One tensor of a checkpoint; `shape` is as on disk. */
export interface TensorShape {
  readonly name: string;
  readonly kind: TensorKind;
  readonly shape: readonly number[];
}

/** All tensors, those of all experts too: a checkpoint needs every one, and a head only where the embedding doesn't serve as one. */
export function* tensorShapesOf(spec: ModelSpec): Generator<TensorShape, void> {
  const { hiddenSize: hidden, vocabSize, moe } = spec;
  yield { name: names.EMBEDDING, kind: 'embedding', shape: [vocabSize, hidden] };
  for (const [layer, each] of spec.layers.entries()) {
    yield norm(names.attentionNormName(layer), hidden);
    yield* attentionShapes(spec.attention, layer, hidden);
    yield norm(names.mlpNormName(layer), hidden);
    if (each.kind === 'dense') yield* ffnShapes(names.denseFfnPrefix(layer), hidden, each.intermediateSize);
    else yield* moeShapes(moe, layer, hidden);
  }
  yield norm(names.FINAL_NORM, hidden);
  if (!spec.tieWordEmbeddings) yield matrix(names.LM_HEAD, vocabSize, hidden);
}

function* moeShapes(moe: ModelSpec['moe'], layer: number, hidden: number): Generator<TensorShape, void> {
  const { numExperts } = moe.gate;
  yield matrix(names.gateName(layer), numExperts, hidden);
  if (moe.hasRouterBias) yield bias(names.gateBiasName(layer), numExperts);
  if (moe.hasSelectionBias) yield bias(names.selectionBiasName(layer), numExperts);
  for (let e = 0; e < numExperts; e++) yield* ffnShapes(names.expertPrefix(layer, e), hidden, moe.intermediateSize);
  if (moe.sharedIntermediateSize === 0) return;
  yield* ffnShapes(names.sharedExpertsPrefix(layer), hidden, moe.sharedIntermediateSize);
}

/** Of one layer. */
export function* attentionShapes(
  attention: AttentionSpec,
  layer: number,
  hidden: number,
): Generator<TensorShape, void> {
  const name = (part: string): string => names.attentionName(layer, part);
  const { numHeads } = attention;
  if (attention.kind === 'gqa') {
    const { numKvHeads, headDim, qkNorm } = attention;
    yield matrix(name('q_proj'), numHeads * headDim, hidden);
    yield matrix(name('k_proj'), numKvHeads * headDim, hidden);
    yield matrix(name('v_proj'), numKvHeads * headDim, hidden);
    yield matrix(name('o_proj'), hidden, numHeads * headDim);
    if (qkNorm === 'head') yield* [norm(name('q_norm'), headDim), norm(name('k_norm'), headDim)];
    return;
  }
  const { qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = attention;
  const qWidth = numHeads * (qkNopeHeadDim + qkRopeHeadDim);
  if (qLoraRank === null) yield matrix(name('q_proj'), qWidth, hidden);
  else {
    yield matrix(name('q_a_proj'), qLoraRank, hidden);
    yield norm(name('q_a_layernorm'), qLoraRank);
    yield matrix(name('q_b_proj'), qWidth, qLoraRank);
  }
  yield matrix(name('kv_a_proj_with_mqa'), kvLoraRank + qkRopeHeadDim, hidden);
  yield norm(name('kv_a_layernorm'), kvLoraRank);
  yield matrix(name('kv_b_proj'), numHeads * (qkNopeHeadDim + vHeadDim), kvLoraRank);
  yield matrix(name('o_proj'), hidden, numHeads * vHeadDim);
}

function* ffnShapes(prefix: string, hidden: number, intermediate: number): Generator<TensorShape, void> {
  yield matrix(`${prefix}.gate_proj.weight`, intermediate, hidden);
  yield matrix(`${prefix}.up_proj.weight`, intermediate, hidden);
  yield matrix(`${prefix}.down_proj.weight`, hidden, intermediate);
}

const matrix = (name: string, out: number, inner: number): TensorShape => ({
  name,
  kind: 'matrix',
  shape: [out, inner],
});
const bias = (name: string, size: number): TensorShape => ({ name, kind: 'bias', shape: [size] });
const norm = (name: string, size: number): TensorShape => ({ name, kind: 'norm', shape: [size] });
