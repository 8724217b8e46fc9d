/** A layer with multi-head latent attention as its descriptor says it. */
import { roundUp4 } from './lane.as';

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
  blockSize: i32;
  /** From a block's address to this layer's part. */
  cacheOffset: usize;
}

/** Floats of a head's query: [nope | rope], padded. */
export function queryWidth(l: MlaLayer): i32 {
  return roundUp4(l.nopeDim + l.ropeDim);
}

/** Floats of a cache row. */
export function cacheWidth(l: MlaLayer): i32 {
  return roundUp4(l.kvLoraRank) + roundUp4(l.ropeDim);
}
