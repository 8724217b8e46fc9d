/**
 * What an expert-parallel all-to-all takes and gives: DeepEP's normal-mode semantics on numbers and bytes only.
 * T tokens of this rank, H channels, K choices per token, N received rows, M received (row, choice) pairs.
 */
import type { StepTag } from './frame.js';
import type { Reduce } from './payload.js';

export interface AllToAllOptions {
  /** Channels per token (H). */
  readonly hidden: number;
  /** Expert choices per token (K). */
  readonly numTopk: number;
  /** Physical experts per rank: physical expert p lives on rank ⌊p / slotsPerRank⌋ in slot p mod slotsPerRank. */
  readonly slotsPerRank: number;
  /** Default 'rank'. */
  readonly reduce?: Reduce;
  /** How long one call waits for all its peers together, in ms of running event loop. Default 10000. */
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
  /** [N·K], 0 where the choice lives elsewhere; empty with `reduce: 'source'`, where weights stay at the source. */
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
  /**
   * Sends each token once to every rank that holds one of its experts. Every rank of the mesh calls it with the same
   * tag, also without tokens. The arrays of the request may be changed as soon as the call returned its promise.
   * Rejects with INVALID_ARGUMENT, LIMIT, PEER_LOST, TIMEOUT, ABORTED, CLOSED or PROTOCOL, naming rank, layer and phase.
   */
  dispatch(request: DispatchRequest): Promise<DispatchResult>;
  /**
   * Returns the experts' output to the tokens' owners.
   * `expertOut`: with `reduce: 'rank'` [N·H], row n already weighted and summed over this rank's experts (DeepEP's normal combine);
   * with 'source' [M·H], one unweighted row per recvTopkIdx entry ≥ 0, in the order of that array.
   * Result [T·H]. A token without any expert gets zeros.
   *
   * The order of summation is fixed, so a result never depends on arrival times. 'rank': the first contributing rank's
   * row is copied, the others are added in ascending rank order, each sum rounded to float32. 'source': from +0, for
   * k = 0 … K−1, `y += w_k · row_k` with product and sum in double precision and one rounding to float32 per choice.
   *
   * `expertOut` is sent without a copy: don't change it afterwards. A handle serves one combine.
   */
  combine(expertOut: Float32Array, handle: DispatchHandle): Promise<Float32Array>;
  /** Payload and header bytes sent per destination rank since the start, by phase. */
  stats(): { readonly dispatchBytes: readonly number[]; readonly combineBytes: readonly number[] };
}
