/**
 * What a dispatch brings to a rank, which its experts compute with: the words that comm and compute share.
 * N received rows, H channels, K choices per token.
 */

/** `rank`: the expert's rank multiplies by the gate weights and sums its local experts, one row per (token, rank) returns.
 *  `source`: every expert's row returns unweighted and the source weights and sums in top-k order. */
export type Reduce = 'rank' | 'source';

/** The rows that a dispatch brought. */
export interface ReceivedRows {
  readonly numRecvTokens: number;
  /** [N·H], a part of its buffer. */
  readonly recvX: Float32Array;
  /** [N·K] local slots, −1 where the choice lives elsewhere. Not to be changed: a cached handle uses it again. */
  readonly recvTopkIdx: Int32Array;
  /** [N·K], 0 where the choice lives elsewhere; empty with `reduce: 'source'`, where weights stay at the source. */
  readonly recvTopkWeights: Float32Array;
  readonly reduce: Reduce;
}
