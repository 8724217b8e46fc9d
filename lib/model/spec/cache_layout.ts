/** What tokens take in the KV cache. Pure. */
import type { AttentionSpec } from './spec.js';

/** A token's rows in each layer, one per lane. */
export interface CacheRows {
  readonly numLanes: number;
  /** Widths of what lies side by side in a row. */
  readonly parts: readonly number[];
}

/** MLA has one lane, [latent | rotated key]; of GQA, lanes 2h and 2h + 1 are the rotated keys and the values of KV head h. */
export const cacheRowsOf = (attention: AttentionSpec): CacheRows =>
  attention.kind === 'mla'
    ? { numLanes: 1, parts: [attention.kvLoraRank, attention.qkRopeHeadDim] }
    : { numLanes: 2 * attention.numKvHeads, parts: [attention.headDim] };

/** float32 values per token and layer in the cache of the attention kernels (gqa_layer.as.ts, mla_layer.as.ts), padding included. */
export function cacheFloatsPerToken(attention: AttentionSpec): number {
  const { numLanes, parts } = cacheRowsOf(attention);
  return numLanes * sum(parts.map(roundUp4));
}

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
