/** Bytes of the parts of a dense model that a kernel memory holds whole or not at all: from the headers of a checkpoint, before a weight is read. Pure. */
import { matrixBytes } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KnownWeights, WeightInfo } from '../stored/model_weights.js';
import { cacheBlockBytes, stateFloats } from '../spec/cache_layout.js';
import { kvUpRows } from '../spec/kv_up_rows.js';
import { type AttentionSpec, type LayerSpec, type ModelSpec } from '../spec/spec.js';
import * as names from '../spec/tensor_names.js';
import { denseTensors, isHeadTied, layerOf } from './rank_tensors.js';
import { keptDtype, type Residence } from './residence.js';
import { stepBytes } from './step_sizes.js';

/** A layer without its routed experts. */
export interface LayerBytes {
  readonly weights: number;
  /** Of all its KV blocks, or of all states. */
  readonly cache: number;
}

/** In the kernels' memories, all in bytes. */
export interface DenseSizes {
  readonly layers: readonly LayerBytes[];
  readonly embedding: number;
  /** With the norm before it; null: the embedding is the head too. */
  readonly head: number | null;
  /** Of the largest step, in each memory that takes part in it: hidden states and what is computed from them. */
  readonly step: number;
  /** Of the largest step, beside the head. */
  readonly logits: number;
}

/** What one memory must hold, beside others or alone. */
export interface UndividedPart {
  /** As people call it. */
  readonly name: string;
  readonly weights: number;
  readonly cache: number;
  readonly activations: number;
}

/** What {@link DenseSizes} depend on. All limits are of one rank. */
export interface DenseSizesOptions {
  readonly spec: ModelSpec;
  readonly weights: KnownWeights;
  readonly residence: Residence;
  readonly blockSize: number;
  readonly numKvBlocks: number;
  /** Of sequences and of blocks. Default 0: all layers have keys and values. */
  readonly numStates?: number;
  readonly maxNumBatchedTokens: number;
  /** That compute with the kernels. */
  readonly numThreads: number;
}

/** Of a rank whose kernels compute. */
export function denseSizesOf({ spec, weights, residence, ...limits }: DenseSizesOptions): DenseSizes {
  const ofLayers = spec.layers.map(() => OTHER_BYTES);
  const vocabulary = { embedding: OTHER_BYTES, head: OTHER_BYTES };
  for (const name of denseTensors(spec, weights)) {
    const bytes = kernelBytes(weights, name, spec.attention, residence);
    const layer = layerOf(name);
    if (layer !== null) ofLayers[layer]! += bytes;
    else vocabulary[name === names.EMBEDDING ? 'embedding' : 'head'] += bytes;
  }
  const keysAndValues = limits.numKvBlocks * cacheBlockBytes(spec.attention, residence.kv ?? 'f32', limits.blockSize);
  const cacheOf = ({ mixer }: LayerSpec): number =>
    mixer.kind === 'attention' ? keysAndValues : 4 * stateFloats(mixer, spec.hiddenSize) * (limits.numStates ?? 0);
  const { embedding, head } = vocabulary;
  const stepLimits = {
    numTokens: limits.maxNumBatchedTokens,
    numThreads: limits.numThreads,
    numKeys: Math.min(spec.maxPositions, limits.blockSize * limits.numKvBlocks),
  };
  return {
    layers: spec.layers.map((layer, i) => ({ weights: ofLayers[i]!, cache: cacheOf(layer) })),
    ...(isHeadTied(spec, weights) ? { embedding: embedding + head, head: null } : { embedding, head }),
    step: stepBytes(spec, stepLimits),
    logits: logitBytes(spec, limits.maxNumBatchedTokens),
  };
}

/** Every part, with a step: all of a memory where it lies alone. */
export function undividedParts({ layers, embedding, head, step, logits }: DenseSizes): UndividedPart[] {
  const withLogits = { cache: 0, activations: step + logits };
  const first = { name: 'the embedding', weights: embedding };
  return [
    ...layers.map((layer, i) => ({ name: `layer ${i}`, ...layer, activations: step })),
    ...(head === null
      ? [{ ...first, ...withLogits }]
      : [
          { ...first, cache: 0, activations: step },
          { name: 'the head', weights: head, ...withLogits },
        ]),
  ];
}

/** The first of those that take most. */
export const largestPart = (sizes: DenseSizes): UndividedPart =>
  undividedParts(sizes).reduce((largest, part) => (bytesOfPart(part) > bytesOfPart(largest) ? part : largest));

/** What a memory must have room for. */
export const bytesOfPart = ({ weights, cache, activations }: UndividedPart): number => weights + cache + activations;

/** What steps need that comes rarely is counted up to here, in bytes; of logits, no more are held at once. */
export const MAX_RARE_BYTES = 2 ** 28;

/** Logits of so many tokens, at most {@link MAX_RARE_BYTES}. */
export const logitBytes = ({ vocabSize }: ModelSpec, numTokens: number): number =>
  Math.min(MAX_RARE_BYTES, 4 * numTokens * vocabSize);

/** Descriptors of a layer or of the head, and a norm. */
const OTHER_BYTES = 2 ** 10;

/** Rows of a matrix in a kernel memory. */
export function kernelRows({ name, shape }: Pick<WeightInfo, 'name' | 'shape'>, attention: AttentionSpec): number {
  const isKvUp = attention.kind === 'mla' && names.attentionPart(name) === 'kv_b_proj';
  return isKvUp ? kvUpRows(attention) : shape[0];
}

/** With what goes before a matrix in its block. */
function kernelBytes(weights: KnownWeights, name: string, attention: AttentionSpec, residence: Residence): number {
  const info = weights.info(name);
  const [rows, columns, ...further] = info.shape;
  if (further.length > 0) return 64 * Math.ceil((rows * columns! * further.reduce((a, b) => a * b, 1)) / 16);
  if (columns === undefined) return 64 * Math.ceil(rows / 16);
  return matrixBytes(keptDtype(weights, name, residence), kernelRows(info, attention), columns);
}
