/** Names and shapes of all tensors that a model of some spec is loaded from, in the order of its layers. */
import { gateOf, type AttentionSpec, type GqaSpec, type IndexerSpec, type LayerSpec } from './spec.js';
import type { MlaSpec, ModelSpec } from './spec.js';
import { deltaRuleShapes, shortConvShapes } from './state_shapes.js';
import * as names from './tensor_names.js';
import { bias, matrix, norm, type TensorShape } from './tensor_shape.js';

/** All tensors, those of all experts too: a checkpoint needs every one, and a head only where the embedding doesn't serve as one. */
export function* tensorShapesOf(spec: ModelSpec): Generator<TensorShape, void> {
  const { hiddenSize: hidden, vocabSize, moe } = spec;
  const hiddenNorm = (name: string): TensorShape[] => [
    norm(name, hidden),
    ...(spec.norm === 'layer' ? [bias(names.biasOf(name), hidden)] : []),
  ];
  yield { name: names.EMBEDDING, kind: 'embedding', shape: [vocabSize, hidden] };
  for (const [layer, each] of spec.layers.entries()) {
    yield* hiddenNorm(names.attentionNormName(layer));
    yield* mixerShapes(spec, each, layer);
    yield* hiddenNorm(names.mlpNormName(layer));
    if (each.kind === 'dense') yield* ffnShapes(names.denseFfnPrefix(layer), hidden, each.intermediateSize);
    else yield* moeShapes({ ...moe, gate: gateOf(spec, layer) }, layer, hidden);
  }
  yield* hiddenNorm(names.FINAL_NORM);
  if (!spec.tieWordEmbeddings) yield matrix(names.LM_HEAD, vocabSize, hidden);
  if (spec.hasHeadBias) yield bias(names.LM_HEAD_BIAS, vocabSize);
}

/** The same model with one expert: those of a layer are alike, and there are many of them. */
export const ofOneExpert = (spec: ModelSpec): ModelSpec => {
  const { moe } = spec;
  const layers = spec.layers.map((layer) => (layer.kind === 'moe' ? { ...layer, numExperts: 1 } : layer));
  return { ...spec, layers, moe: { ...moe, gate: { ...moe.gate, numExperts: 1 } } };
};

function* moeShapes(moe: ModelSpec['moe'], layer: number, hidden: number): Generator<TensorShape, void> {
  const { gate, sharedIntermediateSize } = moe;
  yield matrix(names.gateName(layer), gate.numExperts, hidden);
  if (moe.hasRouterBias) yield bias(names.gateBiasName(layer), gate.numExperts);
  if (moe.hasSelectionBias) yield bias(names.selectionBiasName(layer), gate.numExperts);
  for (let e = 0; e < gate.numExperts; e++) yield* expertShapes(moe, hidden, layer, e);
  if (sharedIntermediateSize === 0) return;
  yield* ffnShapes(names.sharedExpertsPrefix(layer), hidden, sharedIntermediateSize);
  if (moe.hasSharedGate) yield matrix(names.sharedGateName(layer), 1, hidden);
  if (moe.hasResidualMix !== true) return;
  yield matrix(names.mixName(layer), 2, hidden);
  yield bias(names.biasOf(names.mixName(layer)), 2);
}

/** Of one routed expert. */
export function* expertShapes(
  moe: ModelSpec['moe'],
  hidden: number,
  layer: number,
  expert: number,
): Generator<TensorShape, void> {
  for (const each of ffnShapes(names.expertPrefix(layer, expert), hidden, moe.intermediateSize)) {
    yield each;
    if (moe.hasExpertBias) yield bias(names.biasOf(each.name), each.shape[0]!);
  }
}

/** What lets a layer's tokens see each other. */
function mixerShapes({ attention, hiddenSize }: ModelSpec, { mixer }: LayerSpec, layer: number): Iterable<TensorShape> {
  switch (mixer.kind) {
    case 'attention':
      return attentionShapes(attention, layer, hiddenSize);
    case 'short_conv':
      return shortConvShapes(mixer, layer, hiddenSize);
    case 'delta_rule':
      return deltaRuleShapes(mixer, layer, hiddenSize);
  }
}

/** Of one layer. */
export function* attentionShapes(
  attention: AttentionSpec,
  layer: number,
  hidden: number,
): Generator<TensorShape, void> {
  const name = (part: string): string => names.attentionName(layer, part);
  const { numHeads } = attention;
  if (attention.kind === 'gqa') return yield* gqaShapes(attention, name, hidden);
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
  if (attention.indexer?.isOwn[layer] === true) yield* indexerShapes(attention, attention.indexer, name, hidden);
}

function* indexerShapes(
  { qLoraRank }: MlaSpec,
  { numHeads, headDim }: IndexerSpec,
  name: (part: string) => string,
  hidden: number,
): Generator<TensorShape, void> {
  yield matrix(name('indexer.wq_b'), numHeads * headDim, qLoraRank!);
  yield matrix(name('indexer.wk'), headDim, hidden);
  yield norm(name('indexer.k_norm'), headDim);
  yield bias(name('indexer.k_norm.bias'), headDim);
  yield matrix(name('indexer.weights_proj'), numHeads, hidden);
}

function* gqaShapes(gqa: GqaSpec, name: (part: string) => string, hidden: number): Generator<TensorShape, void> {
  const { numHeads, numKvHeads, headDim, qkNorm } = gqa;
  const [width, kvWidth] = [numHeads * headDim, numKvHeads * headDim];
  const rows = { q_proj: gqa.hasOutputGate ? 2 * width : width, k_proj: kvWidth, v_proj: kvWidth };
  for (const [part, numRows] of Object.entries(rows)) {
    yield matrix(name(part), numRows, hidden);
    if (gqa.hasQkvBias) yield bias(name(`${part}.bias`), numRows);
  }
  yield matrix(name('o_proj'), hidden, width);
  if (gqa.hasOutputBias) yield bias(name('o_proj.bias'), hidden);
  if (qkNorm !== null) {
    yield norm(name('q_norm'), qkNorm === 'head' ? headDim : width);
    yield norm(name('k_norm'), qkNorm === 'head' ? headDim : kvWidth);
  }
  if (gqa.hasSinks) yield bias(name('sinks'), numHeads);
}

function* ffnShapes(prefix: string, hidden: number, intermediate: number): Generator<TensorShape, void> {
  yield matrix(`${prefix}.gate_proj.weight`, intermediate, hidden);
  yield matrix(`${prefix}.up_proj.weight`, intermediate, hidden);
  yield matrix(`${prefix}.down_proj.weight`, hidden, intermediate);
}
