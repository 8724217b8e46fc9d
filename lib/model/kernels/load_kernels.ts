/** A model's dense part from a checkpoint, in kernel memories. */
import type { KernelExpert } from '../../../compute/wasm/experts/kernel_expert.js';
import { loadExpert } from '../../../compute/wasm/experts/load_expert.js';
import { KernelGate } from '../../../compute/wasm/router/kernel_gate.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { WeightLoader } from '../../../compute/wasm/memory/weight_loader.js';
import type { DecoderOptions, KvCache } from '../decoder/decoder.js';
import type { MlaSpec, ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { kvUpRows } from '../spec/kv_up_rows.js';
import { attentionShapes } from '../spec/tensor_shapes.js';
import { unspread } from '../weights/spread.js';
import { ffnOf, type DenseWeights } from '../weights/weight_reader.js';
import { rowFloats } from './block_layout.js';
import { KernelAttention } from './kernel_attention.js';
import { KernelDecoder } from './kernel_decoder.js';
import { KernelFfn } from './kernel_ffn.js';
import { KernelMoe } from './kernel_moe.js';
import { KernelSection, type KernelLayer } from './kernel_section.js';
import { kvUpRanges } from './kv_up.js';
import { KernelVocabulary } from './kernel_vocabulary.js';
import { SpreadKvCache } from './spread_kv_cache.js';

/**
 * `memories`: as many as `spread` wants; what it reserves in them is left to others.
 * @throws WeightError as the reader; ExpertError OUT_OF_MEMORY, NOT_FINITE
 */
export async function loadKernelDecoder(
  reader: DenseWeights,
  { spec, mla, blockSize }: DecoderOptions,
  memories: readonly KernelMemory[],
  weights: WeightLoader,
  spread = unspread(spec),
): Promise<KernelDecoder> {
  const loader = new Loader(reader, spec, weights);
  const vocabulary = await loader.vocabulary(memories[spread.embedding]!, memories[spread.head]!);
  const sections = memories.map((memory, number) => {
    const numLayers = spread.layers.filter((each) => each === number).length;
    return new KernelSection(memory, { spec, mla, blockSize, numLayers });
  });
  for (const [layer, number] of spread.layers.entries()) {
    const section = sections[number]!;
    section.layers.push(await loader.layer(layer, section));
  }
  return new KernelDecoder({
    ...{ vocabulary, sections, cache: cacheOf(sections, spec, blockSize) },
    first: sections[spread.embedding]!,
    last: sections[spread.head]!,
  });
}

function cacheOf(sections: readonly KernelSection[], { attention }: ModelSpec, blockSize: number): KvCache {
  const pieces = sections
    .filter(({ layers }) => layers.length > 0)
    .map(({ cache, layers }) => ({
      cache,
      blockBytes: 4 * rowFloats({ attention, blockSize, numLayers: layers.length }),
    }));
  return pieces.length === 1 ? pieces[0]!.cache : new SpreadKvCache(pieces);
}

class Loader {
  constructor(
    private readonly reader: DenseWeights,
    private readonly spec: ModelSpec,
    private readonly weights: WeightLoader,
  ) {}

  /** Embedding and head, in their memories. */
  async vocabulary(embeddingMemory: KernelMemory, headMemory: KernelMemory): Promise<KernelVocabulary> {
    const { reader, spec } = this;
    const { hiddenSize, vocabSize } = spec;
    const shape = [vocabSize, hiddenSize] as const;
    const embedding = await this.matrix(embeddingMemory, names.EMBEDDING, shape);
    const head = reader.isHeadTied(spec) ? null : await this.matrix(headMemory, names.LM_HEAD, shape);
    const finalNorm = await reader.vector(names.FINAL_NORM, hiddenSize);
    return new KernelVocabulary(spec, { embedding, head, finalNorm });
  }

  /** The next layer of a section. */
  async layer(layer: number, section: KernelSection): Promise<KernelLayer> {
    const { memory, layers } = section;
    const { hiddenSize: hidden, normEps } = this.spec;
    const attention = await this.attention(memory, layer, layers.length);
    const norm = await this.reader.vector(names.mlpNormName(layer), hidden);
    const kind = this.spec.layers[layer]!;
    if (kind.kind === 'moe') return { attention, mlp: { kind: 'moe', moe: await this.moe(section, layer, norm) } };
    const weights = await this.ffn(memory, names.denseFfnPrefix(layer), kind.intermediateSize);
    return { attention, mlp: { kind: 'dense', ffn: new KernelFfn(weights, norm, normEps) } };
  }

  private matrix(memory: KernelMemory, name: string, shape: readonly [number, number]): Promise<KernelMatrix> {
    return this.weights.matrix(memory, this.reader.stored(name, shape), this.reader.residentDtype(name));
  }

  private async attention(memory: KernelMemory, layer: number, cacheLayer: number): Promise<KernelAttention> {
    const { attention, hiddenSize } = this.spec;
    const matrices: Record<string, KernelMatrix> = {};
    const vectors: Record<string, Float32Array> = {};
    for (const { name, kind, shape } of attentionShapes(attention, layer, hiddenSize)) {
      const part = names.attentionPart(name);
      if (kind !== 'matrix') vectors[part] = await this.reader.vector(name, shape[0]!);
      else if (attention.kind === 'mla' && part === 'kv_b_proj')
        matrices[part] = await this.kvUp(memory, attention, name, shape);
      else matrices[part] = await this.matrix(memory, name, [shape[0]!, shape[1]!]);
    }
    const inputNorm = await this.reader.vector(names.attentionNormName(layer), hiddenSize);
    const { window } = this.spec.layers[layer]!.mixer;
    return new KernelAttention(memory, this.spec, cacheLayer, { matrices, vectors, inputNorm, window });
  }

  private async kvUp(
    memory: KernelMemory,
    attention: MlaSpec,
    name: string,
    shape: readonly number[],
  ): Promise<KernelMatrix> {
    const stored = this.reader.stored(name, [shape[0]!, shape[1]!]);
    const matrix = new KernelMatrix(memory, kvUpRows(attention), stored.columns, this.reader.residentDtype(name));
    await this.weights.fill(matrix, stored, kvUpRanges(attention));
    return matrix;
  }

  private async moe(section: KernelSection, layer: number, norm: Float32Array): Promise<KernelMoe> {
    const { memory, blocks } = section;
    const { moe, hiddenSize, normEps } = this.spec;
    const { numExperts } = moe.gate;
    const gate = await this.matrix(memory, names.gateName(layer), [numExperts, hiddenSize]);
    const bias = (has: boolean, name: string): Promise<Float32Array> | null =>
      has ? this.reader.vector(name, numExperts) : null;
    const gateBias_E = await bias(moe.hasRouterBias, names.gateBiasName(layer));
    const bias_E = await bias(moe.hasSelectionBias, names.selectionBiasName(layer));
    const { sharedIntermediateSize } = moe;
    const shared =
      sharedIntermediateSize === 0
        ? null
        : await this.ffn(memory, names.sharedExpertsPrefix(layer), sharedIntermediateSize);
    const weights = { norm_H: norm, gate, gateBias_E, bias_E };
    return new KernelMoe(new KernelGate(memory, moe.gate, weights, normEps), shared, hiddenSize, blocks);
  }

  private ffn(memory: KernelMemory, prefix: string, intermediate: number): Promise<KernelExpert> {
    const open = (name: string, shape: readonly [number, number]) => this.reader.stored(name, shape);
    const stored = ffnOf(open, prefix, this.spec.hiddenSize, intermediate);
    return loadExpert(this.weights, memory, stored, this.reader.residentDtype(`${prefix}.gate_proj.weight`));
  }
}
