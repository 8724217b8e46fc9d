/** What tokens take in the KV cache, and what states take beside it. Pure. */
import type { AttentionSpec, LayerSpec, MixerSpec } from './spec.js';
import { convolvedChannels } from './state_shapes.js';

/** A token's rows in each layer, one per lane. */
export interface CacheRows {
  readonly numLanes: number;
  /** Widths of what lies side by side in a row. */
  readonly parts: readonly number[];
}

/** MLA has one lane, [latent | rotated key | indexer's key]; of GQA, lanes 2h and 2h + 1 are the rotated keys and the values of KV head h. */
export function cacheRowsOf(attention: AttentionSpec): CacheRows {
  if (attention.kind === 'gqa') return { numLanes: 2 * attention.numKvHeads, parts: [attention.headDim] };
  const { kvLoraRank, qkRopeHeadDim, indexer } = attention;
  return { numLanes: 1, parts: [kvLoraRank, qkRopeHeadDim, ...(indexer === null ? [] : [indexer.headDim])] };
}

/** float32 values per token and layer in the cache of the attention kernels (gqa_layer.as.ts, mla_layer.as.ts), padding included. */
export function cacheFloatsPerToken(attention: AttentionSpec): number {
  const { numLanes, parts } = cacheRowsOf(attention);
  return numLanes * sum(parts.map(roundUp4));
}

/** float32 values of a token's rows in one layer outside a cache, where there is no padding. */
export function rowFloatsPerToken(attention: AttentionSpec): number {
  const { numLanes, parts } = cacheRowsOf(attention);
  return numLanes * sum(parts);
}

/**
 * float32 values of a sequence's state in one layer, padding included (short_conv_layer.as.ts, delta_rule_layer.as.ts); 0 where it has keys and values.
 * The inputs of a convolution of the last tokens, oldest first; then a delta rule's matrices, value head by value head, in panels of 16 value channels.
 */
export function stateFloats(mixer: MixerSpec, hiddenSize: number): number {
  switch (mixer.kind) {
    case 'attention':
      return 0;
    case 'short_conv':
      return (mixer.width - 1) * roundUp4(hiddenSize);
    case 'delta_rule': {
      const { numValueHeads, keyHeadDim, valueHeadDim, width } = mixer;
      const panels = Math.ceil(valueHeadDim / PANEL);
      return (width - 1) * roundUp4(convolvedChannels(mixer)) + numValueHeads * panels * PANEL * keyHeadDim;
    }
  }
}

/** Over some layers. */
export const stateFloatsOf = (layers: readonly LayerSpec[], hiddenSize: number): number =>
  sum(layers.map(({ mixer }) => stateFloats(mixer, hiddenSize)));

/** Value channels of a panel (delta_rule.as.ts). */
const PANEL = 16;

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
