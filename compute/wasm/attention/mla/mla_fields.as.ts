/** A layer with multi-head latent attention as its descriptor says it. */
import { roundUp4 } from '../lane.as';

@unmanaged
export class MlaLayer {
  /** Addresses of {@link Norm}s. */
  norm: usize;
  qNorm: usize;
  kvNorm: usize;
  /** Matrices: q_a_proj, or 0 where q comes straight from the hidden state; q_b_proj or q_proj; kv_a_proj_with_mqa; kv_b_proj; o_proj. */
  qDown: usize;
  q: usize;
  kvDown: usize;
  kvUp: usize;
  output: usize;
  hiddenSize: i32;
  numHeads: i32;
  kvLoraRank: i32;
  nopeDim: i32;
  ropeDim: i32;
  valueDim: i32;
  ropeLayout: i32;
  softmaxScale: f32;
  /** What is added to x is multiplied with it. */
  residual: f32;
  /**
   * Of the indexer (mla_indexer.as.ts): matrices wq_b, wk and weights_proj, 0 where the choice of the layer before serves; the {@link Norm} of keys; and how many keys a
   * token attends to at most, 0 = all.
   */
  indexQuery: usize;
  indexKey: usize;
  indexWeights: usize;
  indexNorm: usize;
  indexHeads: i32;
  indexDim: i32;
  indexLayout: i32;
  indexTopk: i32;
  blockSize: i32;
  /** From a block's address to this layer's part. */
  cacheOffset: usize;
  /** Element type of the cache: f32, bf16 or int8. */
  kvDtype: i32;
  /** Whether the rotated key is a narrow row in int8 (stored_rows.as.ts). */
  isNarrow: i32;
}

/** Floats of a head's query: [nope | rope], padded. */
export function queryWidth(l: MlaLayer): i32 {
  return roundUp4(l.nopeDim + l.ropeDim);
}

/** Floats of a latent and its rotated key, each padded, side by side as attention takes them. */
export function cacheWidth(l: MlaLayer): i32 {
  return roundUp4(l.kvLoraRank) + roundUp4(l.ropeDim);
}

/** The most keys that a token attends to of all its own. */
export function mostAttended(l: MlaLayer, numKeys: i32): i32 {
  return l.indexTopk > 0 ? min(l.indexTopk, numKeys) : numKeys;
}
