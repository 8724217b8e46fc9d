/**
 * What a dispatch brings to a rank, which its experts compute with: the words that comm and compute share.
 * N received rows, H channels, K choices per token.
 */
import { contiguous, copyFloatRows, type FloatRows } from './float_rows.js';

/** `rank`: the expert's rank multiplies by the gate weights and sums its local experts, one row per (token, rank) returns.
 *  `source`: every expert's row returns unweighted and the source weights and sums in top-k order. */
export type Reduce = 'rank' | 'source';

/** The rows that a dispatch brought. */
export interface ReceivedRows {
  readonly numRecvTokens: number;
  /** [N·H], a part of its buffer. */
  readonly recvX: Float32Array;
  /** Writes the N rows to the first ones of `target`, in one pass: for whoever computes in a memory of its own, and doesn't ask for `recvX`. */
  readonly copyRowsTo: (target: FloatRows) => void;
  /** Where the rows lie already: whoever computes in that memory needs no copy. Undefined where they came over a wire. */
  readonly inPlace?: FloatRows;
  /** [N·K] local slots, −1 where the choice lives elsewhere. Not to be changed: a cached handle uses it again. */
  readonly recvTopkIdx: Int32Array;
  /** [N·K], 0 where the choice lives elsewhere; empty with `reduce: 'source'`, where weights stay at the source. */
  readonly recvTopkWeights: Float32Array;
  readonly reduce: Reduce;
}

/** Rows that no dispatch had to bring: they are where their experts are. */
export class RowsInPlace implements ReceivedRows {
  readonly numRecvTokens: number;

  /** `inPlace` must stay as it is until the experts have computed. */
  constructor(
    readonly inPlace: FloatRows,
    readonly recvTopkIdx: Int32Array,
    readonly recvTopkWeights: Float32Array,
    readonly reduce: Reduce,
  ) {
    this.numRecvTokens = inPlace.numRows;
  }

  /** A copy where they don't lie one behind the other. */
  get recvX(): Float32Array {
    return contiguous(this.inPlace);
  }

  /** To the first rows of `target`. */
  readonly copyRowsTo = (target: FloatRows): void => copyFloatRows(this.inPlace, target);
}
