/** What tokens take in the KV cache, and what states take beside it. Pure. */
import { kvRowBytes, type KvDtype, type KvRow } from '../../../compute/base/kv_dtype.js';
import type { AttentionSpec, LayerSpec, MixerSpec, ModelSpec } from './spec.js';
import { numAttentionLayersOf } from './spec.js';
import { convolvedChannels } from './state_shapes.js';

/** What a token has in each layer. */
export interface CacheRows {
  readonly numLanes: number;
  /** Of a lane, side by side. */
  readonly rows: readonly KvRow[];
}

/**
 * MLA has one lane: the latent, the rotated key, and the indexer's key where there is one. Of GQA, lanes 2h and 2h + 1 are the rotated keys and the values of KV head h.
 */
export function cacheRowsOf(attention: AttentionSpec): CacheRows {
  if (attention.kind === 'gqa') return { numLanes: 2 * attention.numKvHeads, rows: [wide(attention.headDim)] };
  const { kvLoraRank, qkRopeHeadDim, indexer } = attention;
  const rotated = { width: qkRopeHeadDim, isNarrow: qkRopeHeadDim < LEAST_WIDE };
  const rows = [wide(kvLoraRank), rotated];
  return { numLanes: 1, rows: indexer === null ? rows : [...rows, wide(indexer.headDim)] };
}

const wide = (width: number): KvRow => ({ width, isNarrow: false });

/** Channels of a rotated key that isn't narrow: of fewer, four bytes are more than an eighth. Why: docs/decisions/kv_store.md#eight-bits-per-row */
const LEAST_WIDE = 32;

/**
 * Bytes of a block of one layer in the cache of the attention kernels (gqa_layer.as.ts, mla_layer.as.ts), padding included: float32 and heads are padded to a multiple of
 * 4 channels, and heads in int8 to an even number of tokens.
 */
export function cacheBlockBytes(attention: AttentionSpec, dtype: KvDtype, blockSize: number): number {
  if (attention.kind === 'mla' && dtype !== 'f32') return blockSize * rowBytesPerToken(attention, dtype);
  const { numLanes, rows } = cacheRowsOf(attention);
  const width = sum(rows.map((row) => roundUp4(row.width)));
  const numTokens = dtype === 'int8' ? 2 * Math.ceil(blockSize / 2) : blockSize;
  return numLanes * numTokens * kvRowBytes(dtype, wide(width));
}

/** Bytes of a token's rows in one layer outside a cache, where there is no padding. */
export function rowBytesPerToken(attention: AttentionSpec, dtype: KvDtype): number {
  const { numLanes, rows } = cacheRowsOf(attention);
  return numLanes * sum(rows.map((row) => kvRowBytes(dtype, row)));
}

/** Bytes of a block outside a cache (KvCache in decoder.ts): its rows, and what is behind them where it keeps a state. */
export interface BlockBytes {
  readonly rows: number;
  /** 0 where all layers have keys and values. */
  readonly state: number;
}

/** Of blocks of `blockSize` tokens. */
export const blockBytesOf = (
  spec: Pick<ModelSpec, 'attention' | 'layers' | 'hiddenSize'>,
  dtype: KvDtype,
  blockSize: number,
): BlockBytes => ({
  rows: numAttentionLayersOf(spec) * blockSize * rowBytesPerToken(spec.attention, dtype),
  state: 4 * stateFloatsOf(spec.layers, spec.hiddenSize),
});

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
