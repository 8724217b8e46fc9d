/**
 * What an expert-parallel all-to-all takes and gives: DeepEP's normal-mode semantics on numbers and bytes only.
 * T tokens of this rank, H channels, K choices per token, N received rows, M received (row, choice) pairs.
 */
import type { DegradedTokens } from './degraded.js';
import type { OnPeerLoss } from '../exchange/exchange.js';
import type { PhaseTraffic } from '../exchange/exchange_stats.js';
import type { StepTag } from '../../mesh/frame.js';
import type { FloatRows } from '../../../base/float_rows.js';
import type { Rank } from '../../../base/ids.js';
import type { ReceivedRows, Reduce } from '../../../base/received_rows.js';
import type { OnSpan } from '../exchange/span.js';
import type { WireCodec } from '../../codec/wire_codec.js';
import type { WireDtype } from '../../codec/wire_dtype.js';

/** How rows are written on the wire, set separately for the two directions: as a dtype, or by a codec, the same on every rank, which frames can't tell. */
export interface WireOptions {
  /** Default 'f32'. */
  readonly dispatch?: WireDtype | WireCodec;
  /** Default 'f32'. */
  readonly combine?: WireDtype | WireCodec;
}

/** Ranks that share a node: rank r lives on node ⌊r / ranksPerNode⌋, as local rank r mod ranksPerNode. */
export interface Topology {
  /** Must divide the number of ranks. */
  readonly ranksPerNode: number;
  /**
   * 'hierarchical': a token crosses to another node once and is forwarded inside it; 'flat': it goes straight to each rank.
   * With `reduce: 'source'` both give the same bits. With 'rank' both sum first inside each node, then over nodes: the same bits where
   * combine travels in f32; in other dtypes the hierarchical route rounds rows once inside the node and sums once more between nodes.
   * 'hierarchical' waits for the first of its two hops in `hook()`, and forwards then: peers of a rank that is late there are late too.
   */
  readonly route: 'flat' | 'hierarchical';
}

/** What both modes of the all-to-all are made with. */
export interface ExchangeOptions {
  /**
   * How long one call waits for all its peers together, in ms of running event loop. Default 10000. The second hop of a hierarchical
   * route waits up to twice as long, since the rank that forwards may itself have waited.
   */
  readonly timeoutMs?: number;
  /**
   * 'fail' (default): a lost or silent peer ends the call. 'mask': it is masked, this and later calls go on without it, and tokens
   * that lose an expert are reported as degraded. The mask is this rank's own: without a head, ranks may disagree, and one that is
   * masked wrongly stays so until `clearMask`. Choose a `timeoutMs` well above the skew between ranks, unequal expert compute included.
   * While several peers are silent a call waits up to twice as long: some may themselves wait for the lost one.
   */
  readonly onPeerLoss?: OnPeerLoss;
  /** Told of every stretch of a call, for timelines. */
  readonly onSpan?: OnSpan;
}

/** What the normal mode is made with; the same on every rank. */
export interface AllToAllOptions extends ExchangeOptions {
  /** Channels per token (H). */
  readonly hidden: number;
  /** Expert choices per token (K). */
  readonly numTopk: number;
  /** Physical experts per rank: physical expert p lives on rank ⌊p / slotsPerRank⌋ in slot p mod slotsPerRank. */
  readonly slotsPerRank: number;
  /** Default 'rank'. */
  readonly reduce?: Reduce;
  readonly wire?: WireOptions;
  /** `numRecvTokensPerExpert` is rounded up to a multiple of this. Default 1. */
  readonly expertAlignment?: number;
  /** Default: all ranks on one node. */
  readonly topology?: Topology;
}

/** A dispatch with its own routing. */
export interface RoutedRequest {
  /** Of [T·H] an array, which may change when the result is there, or rows in any memory, which must not change before the result is released. */
  readonly x: Float32Array | FloatRows;
  /**
   * `x` is lent: rows of large dispatches may leave from where they are. It must not change before the combine is over (or, where a call failed, a barrier
   * with these peers or a new epoch is), and its memory must not be detached, as that of an unshared WebAssembly.Memory is when it grows. Default false.
   */
  readonly isLent?: boolean;
  /** [T·K] physical experts, −1 = none. */
  readonly topkIdx: Int32Array;
  /** [T·K] */
  readonly topkWeights: Float32Array;
  readonly tag: StepTag;
  readonly signal?: AbortSignal | undefined;
  readonly handle?: undefined;
  /**
   * Ranks that every rank knows to have no tokens in this dispatch: all name the same. On a flat route they send no frames of it and wait for none of its combine, so
   * that a token costs each of them one message and not two. So they may be a layer ahead, and wait two deadlines for rows. Where losses are masked nothing changes:
   * who is silent must be judged by all ranks in the same layer. Default: any may have tokens.
   */
  readonly idle?: ReadonlySet<Rank> | undefined;
}

/** A dispatch that goes where an earlier one went: no routing travels. Every rank passes the handle of the same earlier dispatch. */
export interface CachedRequest {
  /** T as in the earlier dispatch; otherwise as in {@link RoutedRequest}. */
  readonly x: Float32Array | FloatRows;
  /** As in {@link RoutedRequest}. */
  readonly isLent?: boolean;
  readonly handle: DispatchHandle;
  readonly tag: StepTag;
  readonly signal?: AbortSignal | undefined;
}

/** With a handle, it goes where that went. */
export type DispatchRequest = RoutedRequest | CachedRequest;

/** What arrived; rows ordered by source rank, then source row. N = rows. */
export interface DispatchResult extends ReceivedRows {
  /**
   * [N·H], a part of its buffer. Where `x` was {@link FloatRows} it is put together when it is first asked for, which must be before `release`;
   * {@link copyRowsTo} saves that.
   */
  readonly recvX: Float32Array;
  /** Writes the N rows to the first ones of `target`, decoded in one pass; as often as wanted, but not after `release`. @throws CommError INVALID_ARGUMENT */
  readonly copyRowsTo: (target: FloatRows) => void;
  /**
   * Optional and idempotent: gives the memory of the rows back for payloads to come, which is faster than leaving it to the garbage
   * collector. Call it when neither `recvX` nor a view of it is used any more, and not between taking such a view and combining it.
   */
  readonly release: () => void;
  /** [slotsPerRank] choices per local slot, rounded up to `expertAlignment`. */
  readonly numRecvTokensPerExpert: Int32Array;
  readonly handle: DispatchHandle;
  /** This rank's own tokens that lost an expert to a masked rank; complete when their combine has ended. */
  readonly degraded: DegradedTokens;
}

/** Ties a combine, and cached dispatches, to a dispatch. Opaque to callers. */
export interface DispatchHandle {
  readonly tag: StepTag;
}

/** A call whose frames have been sent and whose peers haven't been waited for. */
export interface Pending<T> {
  /** Waits for the peers and gives the result; call it once, also after compute that ran meanwhile. */
  hook(): Promise<T>;
}

/** What this rank sent, and how long it waited, since it started. */
export interface AllToAllStats {
  readonly rank: Rank;
  /** Per layer and phase, ascending; `trafficMatrices` puts those of all ranks together. */
  readonly traffic: readonly PhaseTraffic[];
  /** Own tokens that lost an expert to a masked rank. */
  readonly numDegradedTokens: number;
}

/** Bytes by destination rank. */
export interface SentBytes {
  readonly dispatch: readonly number[];
  readonly combine: readonly number[];
}

/** Which peers are left out. Each rank has a mask of its own; a job's head keeps them equal. */
export interface PeerMask {
  /** Ascending. */
  maskedRanks(): readonly Rank[];
  /** Leaves a peer out of every later call and discards what it still sends. @throws CommError INVALID_ARGUMENT for the own rank. */
  maskRank(rank: Rank): void;
  /** Takes a peer in again, or all of them: before a new epoch, on every rank. One whose link is lost is masked again at the next call. */
  clearMask(rank?: Rank): void;
}

/** Dispatch and combine of a rank without peers that it hears: no frames, no handles, nothing to wait for, and rows stay where they are if no wire dtype rounds them. */
export interface RowsAtHome {
  /** All T rows, for experts that compute before x changes. Counts as a dispatch and a combine do. `topkIdx` [T·K] and `topkWeights` stay the caller's, and as they are. */
  dispatch(layer: number, x: FloatRows, topkIdx: Int32Array, topkWeights: Float32Array): ReceivedRows;
  /**
   * y [T, H] of what experts made of them: with `reduce: 'rank'` [T, H] weighted sums, with 'source' a row per choice ≥ 0. They may be y themselves; else y is written to
   * `room` [T, H].
   */
  combine(
    expertOut: Float32Array | FloatRows,
    topkIdx: Int32Array,
    topkWeights: Float32Array,
    room: () => FloatRows,
  ): FloatRows;
}

/** The normal mode: a token travels once to each rank that has experts of it, and what arrives is as long as it has to be. */
export interface AllToAll extends PeerMask {
  readonly reduce: Reduce;
  /** What takes the place of dispatch and combine while every peer is masked, or there is none, where they would do the same with more to do; else null. */
  readonly alone: RowsAtHome | null;
  /**
   * Sends each token once to every rank that holds one of its experts. Every rank of the mesh calls it with the same
   * tag, also without tokens. The routing of the request may be changed as soon as the call returned its promise, `x` when the result is there.
   * Own rows are rounded by the wire dtype too, so that a result doesn't depend on where an expert lives.
   * @throws CommError INVALID_ARGUMENT, LIMIT, PEER_LOST, TIMEOUT, ABORTED, CLOSED or PROTOCOL, naming rank, layer and phase; on a
   * hierarchical route PEER_FAILED too, naming the rank whose failure another rank told of.
   */
  dispatch(request: DispatchRequest): Promise<DispatchResult>;
  /** Sends now, and waits when its hook is called: compute goes in between (DeepEP's receive hook). @throws CommError as `dispatch`. */
  startDispatch(request: DispatchRequest): Pending<DispatchResult>;
  /**
   * Returns the experts' output to the tokens' owners.
   * `expertOut`: with `reduce: 'rank'` [N·H], row n already weighted and summed over this rank's experts (DeepEP's normal combine);
   * with 'source' [M·H], one unweighted row per recvTopkIdx entry ≥ 0, in the order of that array.
   * Result [T·H]. A token without any expert gets zeros.
   *
   * The order of summation is fixed, so a result never depends on arrival times. 'rank': the first contributing rank's
   * row is copied, the others are added in ascending rank order, each sum rounded to float32; with a topology so within each node,
   * then over nodes. 'source': from +0, for k = 0 … K−1, `y += w_k · row_k` with product and sum in double precision and one
   * rounding to float32 per choice.
   *
   * `expertOut`: an array is sent without a copy where the wire dtype is f32: don't change it afterwards. Rows in any memory may change when the
   * result is there. A handle serves one combine.
   */
  combine(expertOut: Float32Array | FloatRows, handle: DispatchHandle): Promise<Float32Array>;
  /** As {@link startDispatch}, for a combine. */
  startCombine(expertOut: Float32Array | FloatRows, handle: DispatchHandle): Pending<Float32Array>;
  /** The same, but the sums are written to the first T rows of `y`. */
  startCombine(expertOut: Float32Array | FloatRows, handle: DispatchHandle, y: FloatRows): Pending<void>;
  /**
   * The same ranks, mask and wire of dispatch, with rows that come home unweighted in f32 (`reduce: 'source'`) on a flat route: what single experts make of rows, for
   * whoever looks. One object, made at the first call. Its tags must be others than those that are used here.
   */
  unweighted(): AllToAll;
  /** A copy of what was counted since the start. */
  stats(): AllToAllStats;
  /** Bytes sent per destination rank since the start, headers included, the hops between nodes too. */
  sentBytes(): SentBytes;
  /** Milliseconds that this rank waited for each peer's frames since the start: who is slow. */
  waitedMs(): readonly number[];
}
