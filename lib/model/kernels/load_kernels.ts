/** A model's dense part from a checkpoint, in a kernel memory. */
import { KernelExpert } from '../../../compute/wasm/experts/kernel_expert.js';
import { KernelGate } from '../../../compute/wasm/router/kernel_gate.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { DecoderOptions } from '../decoder/decoder.js';
import type { MlaSpec, ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { attentionShapes } from '../spec/tensor_shapes.js';
import type { DenseWeights } from '../weights/weight_reader.js';
import { KernelAttention } from './kernel_attention.js';
import { KernelDecoder, type KernelLayer } from './kernel_decoder.js';
import { KernelFfn } from './kernel_ffn.js';
import { KernelKvCache } from './kernel_kv_cache.js';
import { KernelMoe, KernelMoeBlocks } from './kernel_moe.js';
import { KernelStep } from './kernel_step.js';
import { loadKvUp } from './kv_up.js';
import { KernelVocabulary } from './kernel_vocabulary.js';

/** @throws WeightError as the reader; ExpertError OUT_OF_MEMORY, NOT_FINITE */
export async function loadKernelDecoder(
  reader: DenseWeights,
  { spec, mla, blockSize }: DecoderOptions,
  memory: KernelMemory,
): Promise<KernelDecoder> {
  const loader = new Loader(reader, memory, spec);
  const { hiddenSize, vocabSize } = spec;
  const embedding = await loader.matrix(names.EMBEDDING, [vocabSize, hiddenSize]);
  const head = reader.isHeadTied(spec) ? null : await loader.matrix(names.LM_HEAD, [vocabSize, hiddenSize]);
  const finalNorm = await reader.vector(names.FINAL_NORM, hiddenSize);
  const vocabulary = new KernelVocabulary(memory, spec, { embedding, head, finalNorm });
  const layers: KernelLayer[] = [];
  for (let i = 0; i < spec.layers.length; i++) layers.push(await loader.layer(i));
  return new KernelDecoder({
    ...{ vocabulary, layers, blocks: loader.blocks },
    cache: new KernelKvCache(memory, spec, blockSize),
    step: new KernelStep(memory, spec, mla),
  });
}

class Loader {
  readonly blocks: KernelMoeBlocks;

  constructor(
    private readonly reader: DenseWeights,
    private readonly memory: KernelMemory,
    private readonly spec: ModelSpec,
  ) {
    this.blocks = new KernelMoeBlocks(memory);
  }

  async matrix(name: string, shape: readonly [number, number]): Promise<KernelMatrix> {
    return KernelMatrix.from(this.memory, await this.reader.matrix(name, shape), this.reader.residentDtype(name));
  }

  async layer(layer: number): Promise<KernelLayer> {
    const { hiddenSize: hidden, normEps } = this.spec;
    const attention = await this.attention(layer);
    const norm = await this.reader.vector(names.mlpNormName(layer), hidden);
    const kind = this.spec.layers[layer]!;
    if (kind.kind === 'moe') return { attention, mlp: { kind: 'moe', moe: await this.moe(layer, norm) } };
    const weights = await this.ffn(names.denseFfnPrefix(layer), kind.intermediateSize);
    return { attention, mlp: { kind: 'dense', ffn: new KernelFfn(weights, norm, normEps) } };
  }

  private async attention(layer: number): Promise<KernelAttention> {
    const { attention, hiddenSize } = this.spec;
    const matrices: Record<string, KernelMatrix> = {};
    const norms: Record<string, Float32Array> = {};
    for (const { name, kind, shape } of attentionShapes(attention, layer, hiddenSize)) {
      const part = names.attentionPart(name);
      if (kind === 'norm') norms[part] = await this.reader.vector(name, shape[0]!);
      else if (attention.kind === 'mla' && part === 'kv_b_proj')
        matrices[part] = await this.kvUp(attention, name, shape);
      else matrices[part] = await this.matrix(name, [shape[0]!, shape[1]!]);
    }
    const inputNorm = await this.reader.vector(names.attentionNormName(layer), hiddenSize);
    return new KernelAttention(this.memory, this.spec, layer, { matrices, norms, inputNorm });
  }

  private async kvUp(attention: MlaSpec, name: string, shape: readonly number[]): Promise<KernelMatrix> {
    const weights = await this.reader.matrix(name, [shape[0]!, shape[1]!]);
    return loadKvUp(this.memory, attention, weights, this.reader.residentDtype(name));
  }

  private async moe(layer: number, norm: Float32Array): Promise<KernelMoe> {
    const { moe, hiddenSize, normEps } = this.spec;
    const { numExperts } = moe.gate;
    const gate = await this.matrix(names.gateName(layer), [numExperts, hiddenSize]);
    const bias = moe.hasSelectionBias ? await this.reader.vector(names.gateBiasName(layer), numExperts) : null;
    const { sharedIntermediateSize } = moe;
    const shared =
      sharedIntermediateSize === 0 ? null : await this.ffn(names.sharedExpertsPrefix(layer), sharedIntermediateSize);
    const weights = { norm_H: norm, gate, bias_E: bias };
    return new KernelMoe(new KernelGate(this.memory, moe.gate, weights, normEps), shared, hiddenSize, this.blocks);
  }

  private async ffn(prefix: string, intermediate: number): Promise<KernelExpert> {
    const weights = await this.reader.ffn(prefix, this.spec.hiddenSize, intermediate);
    return KernelExpert.from(this.memory, weights, this.reader.residentDtype(`${prefix}.gate_proj.weight`));
  }
}
