/** A model's dense part from a checkpoint, as TensorFlow.js tensors. */
import { Ffn } from '../../../compute/tfjs/experts/ffn.js';
import { SharedExperts } from '../../../compute/tfjs/experts/shared_experts.js';
import { Gate } from '../../../experts/routing/gate.js';
import { toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';
import { floatsOf, transposedFloats } from '../../../compute/base/weight_matrix.js';
import type { DecoderOptions } from '../decoder/decoder.js';
import { ModelError } from '../spec/errors.js';
import { gateOf, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { readMix, type DenseReader } from '../weights/weight_reader.js';
import { loadAttention, loadMatrix, ropeOf } from './load_attention.js';
import { readFinalNorm, readHeadBias, readHiddenNorm } from '../weights/norm_reader.js';
import { Norm } from './norm.js';
import type { Rope } from './rope.js';
import { TensorDecoder, type TensorLayer } from './tensor_decoder.js';

/** Reads layer after layer. A head that the checkpoint lacks is made of the embedding. @throws WeightError as the reader; ModelError for layers with a state */
export async function loadTensorDecoder(reader: DenseReader, options: DecoderOptions): Promise<TensorDecoder> {
  const { spec, blockSize } = options;
  const { hiddenSize, vocabSize, multipliers } = spec;
  requireAttention(spec);
  const embedding = await reader.matrix(names.EMBEDDING, [vocabSize, hiddenSize]);
  const head = reader.isHeadTied(spec) ? embedding : await reader.matrix(names.LM_HEAD, [vocabSize, hiddenSize]);
  const finalNorm = new Norm(await readFinalNorm(reader, spec));
  const headBias = spec.hasHeadBias ? await readHeadBias(reader, spec) : null;
  const rope = ropeOf(spec);
  const layers: TensorLayer[] = [];
  for (let i = 0; i < spec.layers.length; i++) layers.push(await loadLayer(reader, options, i, rope));
  return new TensorDecoder({
    ...{ spec, layers, finalNorm, rope, blockSize },
    embedding_VH: toTensor(floatsOf(embedding), [vocabSize, hiddenSize]),
    head_HV: toTensor(transposedFloats(head), [hiddenSize, vocabSize]),
    headBias_1V: headBias && toTensor(headBias, [1, vocabSize]),
    factors: { embedding: factorOf(multipliers.embedding), residual: factorOf(multipliers.residual) },
  });
}

/** States and indexers need kernels. @throws ModelError UNSUPPORTED_MODEL */
function requireAttention({ layers, attention }: ModelSpec): void {
  if (attention.kind === 'mla' && attention.indexer !== null) {
    const message = `index_topk is ${attention.indexer.topk}: sparse attention by an indexer runs with compute: kernels, and this rank computes with tensors; set compute: kernels`;
    throw new ModelError('UNSUPPORTED_MODEL', message);
  }
  const layer = layers.findIndex(({ mixer }) => mixer.kind !== 'attention');
  if (layer < 0) return;
  const message = `layer ${layer} is of the kind ${layers[layer]!.mixer.kind}, which runs with compute: kernels, and this rank computes with tensors; set compute: kernels`;
  throw new ModelError('UNSUPPORTED_MODEL', message);
}

/** Null: 1. */
const factorOf = (factor: number): Tensor2D | null => (factor === 1 ? null : toTensor(Float32Array.of(factor), [1, 1]));

async function loadLayer(
  reader: DenseReader,
  { spec, mla }: DecoderOptions,
  layer: number,
  rope: Rope,
): Promise<TensorLayer> {
  const attentionNorm = new Norm(await readHiddenNorm(reader, spec, names.attentionNormName(layer)));
  const attention = await loadAttention(reader, spec, layer, rope, mla);
  const mlpNorm = new Norm(await readHiddenNorm(reader, spec, names.mlpNormName(layer)));
  const kind = spec.layers[layer]!;
  if (kind.kind === 'dense') {
    const ffn = new Ffn(await reader.ffn(names.denseFfnPrefix(layer), spec.hiddenSize, kind.intermediateSize));
    return { attentionNorm, attention, mlpNorm, mlp: { kind: 'dense', ffn } };
  }
  const gate = await loadGate(reader, spec, layer);
  const sharedExperts = await loadSharedExperts(reader, spec, layer);
  return {
    attentionNorm,
    attention,
    mlpNorm,
    mlp: { kind: 'moe', moe: { gate, sharedExperts, mix: await readMix(reader, spec, layer) } },
  };
}

async function loadGate(reader: DenseReader, spec: ModelSpec, layer: number): Promise<Gate> {
  const { moe, hiddenSize } = spec;
  const own = gateOf(spec, layer);
  const { numExperts } = own;
  const bias = (has: boolean, name: string): Promise<Float32Array> | null =>
    has ? reader.vector(name, numExperts) : null;
  const gateBias_E = await bias(moe.hasRouterBias, names.gateBiasName(layer));
  const bias_E = await bias(moe.hasSelectionBias, names.selectionBiasName(layer));
  const gate_HE = await loadMatrix(reader, names.gateName(layer), numExperts, hiddenSize);
  return new Gate({ gate_HE, gateBias_E, bias_E }, own);
}

async function loadSharedExperts(reader: DenseReader, spec: ModelSpec, layer: number): Promise<SharedExperts | null> {
  const { hiddenSize, moe } = spec;
  if (moe.sharedIntermediateSize === 0) return null;
  const ffn = new Ffn(await reader.ffn(names.sharedExpertsPrefix(layer), hiddenSize, moe.sharedIntermediateSize));
  const gate_H1 = moe.hasSharedGate ? await loadMatrix(reader, names.sharedGateName(layer), 1, hiddenSize) : null;
  return new SharedExperts(ffn, gate_H1);
}
