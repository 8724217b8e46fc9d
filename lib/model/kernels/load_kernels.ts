/** A model's dense part from a checkpoint, in kernel memories. */
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import type { KernelExpert } from '../../../compute/wasm/experts/kernel_expert.js';
import { loadExpert } from '../../../compute/wasm/experts/load_expert.js';
import { KernelGate } from '../../../compute/wasm/router/kernel_gate.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { WeightLoader } from '../../../compute/wasm/memory/weight_loader.js';
import type { DecoderOptions, KvCache } from '../decoder/decoder.js';
import { stateFloatsOf } from '../spec/cache_layout.js';
import { gateOf, numAttentionLayersOf, type MlaSpec, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { kvUpRows } from '../spec/kv_up_rows.js';
import { attentionShapes } from '../spec/tensor_shapes.js';
import { readFinalNorm, readHeadBias, readHiddenNorm, readNorm } from '../weights/norm_reader.js';
import { unspread } from '../weights/spread.js';
import { ffnOf, readMix, type DenseWeights } from '../weights/weight_reader.js';
import { KernelAttention, type KernelAttentionWeights } from './kernel_attention.js';
import { KernelDecoder } from './kernel_decoder.js';
import { KernelFfn } from './kernel_ffn.js';
import type { KernelMixer } from './kernel_mixer.js';
import { KernelMoe } from './kernel_moe.js';
import { KernelShared } from './kernel_shared.js';
import { KernelSection, type KernelLayer } from './kernel_section.js';
import { kvUpRanges } from './kv_up.js';
import { loadStateMixer } from './load_states.js';
import { KernelVocabulary } from './kernel_vocabulary.js';
import { SpreadKvCache } from './spread_kv_cache.js';

/**
 * `memories`: as many as `spread` wants; what it reserves in them is left to others.
 * @throws WeightError as the reader; ExpertError OUT_OF_MEMORY, NOT_FINITE
 */
export async function loadKernelDecoder(
  reader: DenseWeights,
  { spec, mla, blockSize, residence }: DecoderOptions,
  memories: readonly KernelMemory[],
  weights: WeightLoader,
  spread = unspread(spec),
): Promise<KernelDecoder> {
  const loader = new Loader(reader, spec, weights);
  const vocabulary = await loader.vocabulary(memories[spread.embedding]!, memories[spread.head]!);
  const sections = memories.map((memory, number) => {
    const layers = spec.layers.filter((_, layer) => spread.layers[layer] === number);
    return new KernelSection(memory, { spec, mla, blockSize, kvDtype: residence.kv ?? 'f32', layers });
  });
  for (const [layer, number] of spread.layers.entries()) {
    const section = sections[number]!;
    section.layers.push(await loader.layer(layer, section));
  }
  return new KernelDecoder({
    ...{ vocabulary, sections, cache: cacheOf(sections) },
    first: sections[spread.embedding]!,
    last: sections[spread.head]!,
  });
}

function cacheOf(sections: readonly KernelSection[]): KvCache {
  const pieces = sections.filter(({ layers }) => layers.length > 0).map(({ cache }) => cache);
  return pieces.length === 1 ? pieces[0]! : new SpreadKvCache(pieces);
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
    const finalNorm = await readFinalNorm(reader, spec);
    const headBias = spec.hasHeadBias ? await readHeadBias(reader, spec) : null;
    return new KernelVocabulary(spec, { embedding, head, headBias, finalNorm });
  }

  /** The next layer of a section. */
  async layer(layer: number, section: KernelSection): Promise<KernelLayer> {
    const { memory } = section;
    const mixer = await this.mixer(section, layer);
    const norm = await readHiddenNorm(this.reader, this.spec, names.mlpNormName(layer));
    const kind = this.spec.layers[layer]!;
    if (kind.kind === 'moe') return { mixer, mlp: { kind: 'moe', moe: await this.moe(section, layer, norm) } };
    const weights = await this.ffn(memory, names.denseFfnPrefix(layer), kind.intermediateSize);
    return { mixer, mlp: { kind: 'dense', ffn: new KernelFfn(weights, norm, this.spec.multipliers.residual) } };
  }

  private matrix(memory: KernelMemory, name: string, shape: readonly [number, number]): Promise<KernelMatrix> {
    const dtype = this.reader.residentDtype(name);
    return this.weights.matrix(memory, this.reader.stored(name, shape, dtype), dtype);
  }

  private async mixer({ memory, layers }: KernelSection, layer: number): Promise<KernelMixer> {
    const { reader, weights, spec } = this;
    const { mixer } = spec.layers[layer]!;
    const before = spec.layers.slice(layer - layers.length, layer); // of the section
    const inputNorm = await readHiddenNorm(reader, spec, names.attentionNormName(layer));
    if (mixer.kind === 'attention') {
      const { window } = mixer;
      return this.attention(memory, numAttentionLayersOf({ layers: before }), { inputNorm, window, layer });
    }
    const stateOffset = 4 * stateFloatsOf(before, spec.hiddenSize);
    return loadStateMixer({ reader, weights, memory, spec, layer, stateOffset, inputNorm }, mixer);
  }

  private async attention(
    memory: KernelMemory,
    cacheLayer: number,
    extras: Pick<KernelAttentionWeights, 'inputNorm' | 'window' | 'layer'>,
  ): Promise<KernelAttention> {
    const { attention, hiddenSize } = this.spec;
    const eps = attention.kind === 'mla' ? attention.latentNormEps : this.spec.normEps;
    const matrices: Record<string, KernelMatrix> = {};
    const norms: Record<string, NormWeights> = {};
    const vectors: Record<string, Float32Array> = {};
    for (const { name, kind, shape } of attentionShapes(attention, extras.layer, hiddenSize)) {
      const part = names.attentionPart(name);
      if (kind === 'norm') norms[part] = await readNorm(this.reader, this.spec, name, shape[0]!, eps);
      else if (kind === 'bias') vectors[part] = await this.reader.vector(name, shape[0]!);
      else if (attention.kind === 'mla' && part === 'kv_b_proj')
        matrices[part] = await this.kvUp(memory, attention, name, shape);
      else matrices[part] = await this.matrix(memory, name, [shape[0]!, shape[1]!]);
    }
    return new KernelAttention(memory, this.spec, cacheLayer, { matrices, norms, vectors, ...extras });
  }

  private async kvUp(
    memory: KernelMemory,
    attention: MlaSpec,
    name: string,
    shape: readonly number[],
  ): Promise<KernelMatrix> {
    const dtype = this.reader.residentDtype(name);
    const stored = this.reader.stored(name, [shape[0]!, shape[1]!], dtype);
    const matrix = new KernelMatrix(memory, kvUpRows(attention), stored.columns, dtype);
    await this.weights.fill(matrix, stored, kvUpRanges(attention));
    return matrix;
  }

  private async moe(section: KernelSection, layer: number, norm: NormWeights): Promise<KernelMoe> {
    const { memory, blocks } = section;
    const { moe, hiddenSize, multipliers } = this.spec;
    const own = gateOf(this.spec, layer);
    const { numExperts } = own;
    const gate = await this.matrix(memory, names.gateName(layer), [numExperts, hiddenSize]);
    const bias = (has: boolean, name: string): Promise<Float32Array> | null =>
      has ? this.reader.vector(name, numExperts) : null;
    const gateBias_E = await bias(moe.hasRouterBias, names.gateBiasName(layer));
    const bias_E = await bias(moe.hasSelectionBias, names.selectionBiasName(layer));
    const shared = await this.shared(memory, layer);
    const weights = { norm, gate, gateBias_E, bias_E };
    const mix = await readMix(this.reader, this.spec, layer);
    return new KernelMoe(new KernelGate(memory, own, weights), shared, hiddenSize, multipliers.residual, mix, blocks);
  }

  private async shared(memory: KernelMemory, layer: number): Promise<KernelShared | null> {
    const { moe, hiddenSize } = this.spec;
    if (moe.sharedIntermediateSize === 0) return null;
    const network = await this.ffn(memory, names.sharedExpertsPrefix(layer), moe.sharedIntermediateSize);
    const gate = moe.hasSharedGate ? await this.matrix(memory, names.sharedGateName(layer), [1, hiddenSize]) : null;
    return new KernelShared(network, gate);
  }

  private ffn(memory: KernelMemory, prefix: string, intermediate: number): Promise<KernelExpert> {
    const dtype = this.reader.residentDtype(`${prefix}.gate_proj.weight`);
    const open = (name: string, shape: readonly [number, number]) => this.reader.stored(name, shape, dtype);
    const stored = ffnOf(open, prefix, this.spec.hiddenSize, intermediate);
    return loadExpert(this.weights, memory, stored, dtype);
  }
}
