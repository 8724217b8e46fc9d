/** Expert-parallel all-to-all over a mesh, with DeepEP's normal-mode semantics. Works on numbers and bytes only. */
import type { StepTag } from './frame.js';

/** `rank`: the expert's rank multiplies by the gate weights and sums its local experts, one row per (token, rank) returns.
 *  `source`: every expert's row returns unweighted and the source weights and sums in top-k order. */
export type Reduce = 'rank' | 'source';

export interface AllToAllOptions {
  /** Channels per token (H). */
  readonly hidden: number;
  /** Expert choices per token (K). */
  readonly numTopk: number;
  /** Physical experts per rank: physical expert p lives on rank ⌊p / slotsPerRank⌋ in slot p mod slotsPerRank. */
  readonly slotsPerRank: number;
  /** Default 'rank'. */
  readonly reduce?: Reduce;
  /** Default 10000. */
  readonly timeoutMs?: number;
}

export interface DispatchRequest {
  /** [T·H] */
  readonly x: Float32Array;
  /** [T·K] physical experts, −1 = none. */
  readonly topkIdx: Int32Array;
  /** [T·K] */
  readonly topkWeights: Float32Array;
  readonly tag: StepTag;
  readonly signal?: AbortSignal;
}

/** What arrived; rows ordered by source rank, then source row. N = rows. */
export interface DispatchResult {
  readonly numRecvTokens: number;
  /** [N·H] */
  readonly recvX: Float32Array;
  /** [N·K] local slots, −1 where the choice lives elsewhere. */
  readonly recvTopkIdx: Int32Array;
  /** [N·K]; empty with `reduce: 'source'`, where weights stay at the source. */
  readonly recvTopkWeights: Float32Array;
  /** [slotsPerRank] choices per local slot. */
  readonly numRecvTokensPerExpert: Int32Array;
  readonly reduce: Reduce;
  readonly handle: DispatchHandle;
}

/** Ties a combine to its dispatch. Opaque to callers. */
export interface DispatchHandle {
  readonly tag: StepTag;
}

export interface AllToAll {
  readonly reduce: Reduce;
  /** Sends each token once to every rank that holds one of its experts. Every rank of the mesh calls it with the same tag. */
  dispatch(request: DispatchRequest): Promise<DispatchResult>;
  /**
   * Returns the experts' output to the tokens' owners.
   * `expertOut`: with `reduce: 'rank'` [N·H], row n already weighted and summed over this rank's experts (DeepEP's normal combine);
   * with 'source' [M·H], one unweighted row per recvTopkIdx entry ≥ 0, in the order of that array.
   * Result [T·H]. A token without any expert gets zeros.
   */
  combine(expertOut: Float32Array, handle: DispatchHandle): Promise<Float32Array>;
  /** Payload and header bytes sent per destination rank since the start, by phase. */
  stats(): { readonly dispatchBytes: readonly number[]; readonly combineBytes: readonly number[] };
}
