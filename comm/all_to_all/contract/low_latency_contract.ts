/**
 * What the low-latency mode takes and gives: DeepEP's, with one row per (token, expert) packed by expert.
 * T tokens of this rank, H channels, K choices per token, S slots per rank, R = ranks · maxTokensPerRank rows per expert.
 */
import type {
  AllToAllStats,
  DispatchHandle,
  ExchangeOptions,
  PeerMask,
  Pending,
  SentBytes,
  WireOptions,
} from './all_to_all_contract.js';
import type { DegradedTokens } from './degraded.js';
import type { StepTag } from '../../mesh/frame.js';

/** What the low-latency mode is made with; the same on every rank. */
export interface LowLatencyOptions extends ExchangeOptions {
  /** Channels per token (H). */
  readonly hidden: number;
  /** Expert choices per token (K). */
  readonly numTopk: number;
  /** Physical experts per rank (S): physical expert p lives on rank ⌊p / slotsPerRank⌋ in slot p mod slotsPerRank. */
  readonly slotsPerRank: number;
  /** Most tokens that any rank dispatches per call; the same on every rank. */
  readonly maxTokensPerRank: number;
  readonly wire?: WireOptions;
}

/** A dispatch; its weights are needed only by the combine. */
export interface LowLatencyRequest {
  /** [T·H], T ≤ maxTokensPerRank. */
  readonly x: Float32Array;
  /** [T·K] physical experts, −1 = none; a token names an expert at most once. */
  readonly topkIdx: Int32Array;
  readonly tag: StepTag;
  readonly signal?: AbortSignal;
}

/** What arrived, packed by expert. */
export interface LowLatencyResult {
  /**
   * Of [S·R·H] the rows of local expert e begin at row e·R and are recvCount[e], by source rank, then source row; what lies behind them is
   * left from earlier calls. One of two buffers that take turns: valid until the second next dispatch of the same all-to-all has
   * arrived, so two micro-batches may be in flight. May be written to, and be the `expertOut` of the combine.
   */
  readonly recvX: Float32Array;
  /** [S] rows of each local expert. */
  readonly recvCount: Int32Array;
  /**
   * [S·(ranks + 1)], DeepEP's layout range: of local expert e, counted from its first row, the rows of source s are
   * recvLayoutRange[e·(ranks + 1) + s] … recvLayoutRange[e·(ranks + 1) + s + 1] − 1.
   */
  readonly recvLayoutRange: Int32Array;
  readonly handle: DispatchHandle;
  /** This rank's own tokens that lost an expert to a masked rank; complete when their combine has ended. */
  readonly degraded: DegradedTokens;
}

/** The low-latency mode: one row per (token, expert) into arrays of fixed size, for few tokens as in decoding. */
export interface LowLatencyAllToAll extends PeerMask {
  /** Rows per expert in packed arrays: R = ranks · maxTokensPerRank. */
  readonly rowsPerExpert: number;
  /**
   * Sends one row per (token, expert). Every rank of the mesh calls it with the same tag, also without tokens. The arrays of the request may
   * be changed as soon as the call returned its promise. Own rows are rounded by the wire dtype too.
   * @throws CommError INVALID_ARGUMENT, LIMIT, PEER_LOST, TIMEOUT, ABORTED, CLOSED or PROTOCOL, naming rank, layer and phase.
   */
  dispatch(request: LowLatencyRequest): Promise<LowLatencyResult>;
  /** Sends now, and waits when its hook is called: compute goes in between (DeepEP's receive hook). @throws CommError as `dispatch`. */
  startDispatch(request: LowLatencyRequest): Pending<LowLatencyResult>;
  /**
   * Returns the experts' rows to the tokens' owners, who weight and sum them: y [T·H], from +0, for k = 0 … K−1, `y += w_k · row_k` in double
   * precision with one rounding to float32 per choice: the bits of the normal mode with `reduce: 'source'`. A token without any expert gets zeros.
   *
   * @param expertOut [S·R·H], unweighted, in the places of recvX; other rows are not read. May be changed as soon as the call returned.
   * @param handle of the dispatch; it serves one combine
   * @param topkWeights [T·K]; those of choices without expert are not read
   */
  combine(expertOut: Float32Array, handle: DispatchHandle, topkWeights: Float32Array): Promise<Float32Array>;
  /** As {@link startDispatch}, for a combine. */
  startCombine(expertOut: Float32Array, handle: DispatchHandle, topkWeights: Float32Array): Pending<Float32Array>;
  /** As in the normal mode; in combine a row counts as a token, since an expert's rank isn't told which rows are of one token. */
  stats(): AllToAllStats;
  /** Bytes sent per destination rank since the start, headers included. */
  sentBytes(): SentBytes;
  /** Milliseconds that this rank waited for each peer's frames since the start: who is slow. */
  waitedMs(): readonly number[];
}
