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

/** How many of the kernels' `numFloats` values, whose rows' parts are padded to a multiple of 4 each, are no padding. */
export const lengthWithoutPadding = (numFloats: number, { parts }: CacheRows): number =>
  (numFloats / sum(parts.map(roundUp4))) * sum(parts);

/** The kernels' rows without their padding: a copy. */
export function withoutPadding(padded: Float32Array, shape: CacheRows): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(lengthWithoutPadding(padded.length, shape));
  eachPart(rows.length, shape, (at, paddedAt, width) => {
    rows.set(padded.subarray(paddedAt, paddedAt + width), at);
  });
  return rows;
}

/** The other way; the padding stays as it is. */
export function copyBetweenPadding(rows: Float32Array, shape: CacheRows, padded: Float32Array): void {
  eachPart(rows.length, shape, (at, paddedAt, width) => {
    padded.set(rows.subarray(at, at + width), paddedAt);
  });
}

function eachPart(
  numFloats: number,
  { parts }: CacheRows,
  visit: (at: number, paddedAt: number, width: number) => void,
): void {
  let paddedAt = 0;
  for (let at = 0; at < numFloats;) {
    for (const width of parts) {
      visit(at, paddedAt, width);
      at += width;
      paddedAt += roundUp4(width);
    }
  }
}

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
