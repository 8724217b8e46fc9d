/** What a token takes in the cache of the attention kernels (gqa_layer.as.ts, mla_layer.as.ts). Pure. */
import type { AttentionSpec } from './spec.js';

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);

/** float32 values per token and layer, padding included. */
export function cacheFloatsPerToken(attention: AttentionSpec): number {
  return attention.kind === 'mla'
    ? roundUp4(attention.kvLoraRank) + roundUp4(attention.qkRopeHeadDim)
    : 2 * attention.numKvHeads * roundUp4(attention.headDim);
}
