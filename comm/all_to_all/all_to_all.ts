/**
 * Expert-parallel all-to-all over a mesh, with DeepEP's normal-mode semantics. Works on numbers and bytes only.
 * T tokens of this rank, H channels, K choices per token, N received rows, M received (row, choice) pairs.
 */
import {
  checkCachedRequest,
  checkExchange,
  checkExpertOut,
  checkNormal,
  checkRequest,
  checkShape,
  checkTarget,
  invalid,
  staleHandle,
} from './contract/all_to_all_check.js';
import type {
  AllToAll,
  AllToAllOptions,
  CachedRequest,
  DispatchHandle,
  DispatchRequest,
  DispatchResult,
  ExchangeOptions,
  Pending,
  RoutedRequest,
  RowsAtHome,
} from './contract/all_to_all_contract.js';
import { DegradedTokens, withoutMasked } from './contract/degraded.js';
import { Endpoint, pendingOf } from './contract/endpoint.js';
import { Exchange } from './exchange/exchange.js';
import { FlatRoute } from './flat/flat_route.js';
import { HierarchicalRoute } from './nodes/hierarchical_route.js';
import { LoneRank } from './rows_at_home.js';
import { asRows, floatRows, rowsFrom, type FloatRows } from '../../base/float_rows.js';
import type { Rank } from '../../base/ids.js';
import type { Mesh } from '../mesh/mesh.js';
import type { Reduce } from '../../base/received_rows.js';
import { countPerExpert, knownRowsOf, Received, routingOfAll } from './contract/received.js';
import { ReceivedParts } from './contract/received_parts.js';
import { wireFormsOf } from './contract/wire_forms.js';
import type { CachedRoute, DispatchedRows, Route, RouteShape, Routing } from './contract/route.js';

export type * from './contract/all_to_all_contract.js';
export type { Reduce } from '../../base/received_rows.js';
export { combineBytes, dispatchBytes, type DispatchSize } from './contract/payload.js';

/**
 * The all-to-all of this rank. Every rank of the mesh makes one with the same options.
 * @throws CommError INVALID_ARGUMENT when an option is out of range, CODEC_FAILED when a codec can't be used
 */
export function createAllToAll(mesh: Mesh, options: AllToAllOptions): AllToAll {
  const { hidden, numTopk, slotsPerRank, reduce = 'rank', wire = {}, expertAlignment = 1 } = options;
  const topology = options.topology ?? { ranksPerNode: mesh.size, route: 'flat' };
  const { ranksPerNode } = topology;
  checkShape(options);
  checkNormal({ reduce, expertAlignment, topology }, slotsPerRank, mesh.size);
  const shape = { hidden, numTopk, slotsPerRank, reduce, ranksPerNode, ...wireFormsOf(wire, hidden) };
  const exchange = createExchange(mesh, options);
  if (topology.route === 'flat')
    return new NormalAllToAll(exchange, new FlatRoute(exchange, shape), shape, expertAlignment);
  return new NormalAllToAll(exchange, new HierarchicalRoute(exchange, shape), shape, expertAlignment);
}

/** What both modes exchange frames with. @throws CommError INVALID_ARGUMENT when `timeoutMs` or `onPeerLoss` can't be. */
export function createExchange(
  mesh: Mesh,
  { timeoutMs = 10000, onPeerLoss = 'fail', onSpan }: ExchangeOptions,
): Exchange {
  checkExchange({ timeoutMs, onPeerLoss });
  return new Exchange(mesh, { timeoutMs, onPeerLoss, onSpan });
}

/** What a combine, or a cached dispatch, has to know of its dispatch. */
interface Dispatched<State> extends CachedRoute<State>, DispatchedRows<State> {
  readonly signal: AbortSignal | undefined;
  readonly idle: ReadonlySet<Rank> | undefined;
  /** Own tokens that lost a choice already in the routing: they lose it again with a cached handle. */
  readonly unrouted: Int32Array;
  /** Ranks that were masked when it ended. */
  readonly masked: readonly Rank[];
  /** [size] rows ('rank') or choices ('source') that this rank owes to each source. */
  readonly numOwed: readonly number[];
  /** What it brought, until it is combined or released: a cached handle may be kept long. */
  rows: ReceivedParts | undefined;
  /** `recvX` itself is combined without a copy: its memory may still be on its way. */
  isLent: boolean;
  isCombined: boolean;
}

class NormalAllToAll<State> extends Endpoint<Dispatched<State>> implements AllToAll {
  readonly reduce: Reduce;
  private readonly countTokens = (recvTopkIdx: Int32Array): Int32Array =>
    countPerExpert(recvTopkIdx, this.shape.slotsPerRank, this.expertAlignment);
  private readonly home: LoneRank;
  private forLooks: AllToAll | null = null;

  constructor(
    exchange: Exchange,
    private readonly route: Route<State>,
    private readonly shape: RouteShape,
    private readonly expertAlignment: number,
  ) {
    super(exchange);
    this.reduce = shape.reduce;
    this.home = new LoneRank(exchange, shape, (numTokens) => (this.numDegradedTokens += numTokens));
  }

  get alone(): RowsAtHome | null {
    return this.exchange.isAlone ? this.home : null;
  }

  unweighted(): AllToAll {
    if (this.forLooks !== null) return this.forLooks;
    const shape: RouteShape = { ...this.shape, reduce: 'source', combineDtype: 'f32' };
    return (this.forLooks = new NormalAllToAll(this.exchange, new FlatRoute(this.exchange, shape), shape, 1));
  }

  async dispatch(request: DispatchRequest): Promise<DispatchResult> {
    return this.startDispatch(request).hook();
  }

  startDispatch(request: DispatchRequest): Pending<DispatchResult> {
    const { signal } = request;
    const degraded = new DegradedTokens();
    const cached = request.handle === undefined ? undefined : this.checkCached(request);
    const routing = cached === undefined ? this.routingOf(request as RoutedRequest, degraded) : cached.routing;
    const unrouted = cached === undefined ? degraded.rows() : cached.unrouted;
    degraded.add(unrouted);
    const { step, layer, microBatch, epoch } = request.tag;
    const tag = { step, layer, microBatch, epoch };
    const isArray = request.x instanceof Float32Array;
    const idle = this.idleOf(request, cached, routing.numTokens);
    const x = asRows(request.x, this.shape.hidden);
    const pending = this.route.startDispatch({ tag, signal, idle }, x, routing, cached, request.isLent === true);
    return pendingOf('dispatch', async () => {
      const { bySource, state } = await pending.hook();
      const startMs = performance.now();
      const rows = new ReceivedParts(bySource, this.shape.hidden, this.exchange.mesh.memory);
      const arrived = routingOfAll(bySource, rows.numRows, this.shape);
      // The caller may change its array now.
      if (isArray) rows.floats();
      const sent: Dispatched<State> = {
        signal,
        idle,
        routing,
        unrouted,
        degraded,
        masked: this.maskedRanks(),
        numOwed: bySource.map((part) => (this.reduce === 'rank' ? (part?.numRows ?? 0) : countChoices(part?.slots))),
        state,
        bySource: knownRowsOf(bySource, arrived, this.shape.numTopk),
        rows,
        isLent: false,
        isCombined: false,
      };
      const result = new Received(arrived, rows, this.handleOf(tag, sent), sent, this.countTokens);
      this.exchange.span('dispatch', 'unpack', tag, startMs);
      return result;
    });
  }

  async combine(expertOut: Float32Array | FloatRows, handle: DispatchHandle): Promise<Float32Array> {
    return this.startCombine(expertOut, handle).hook();
  }

  startCombine(rows: Float32Array | FloatRows, handle: DispatchHandle): Pending<Float32Array>;
  startCombine(rows: Float32Array | FloatRows, handle: DispatchHandle, y: FloatRows): Pending<void>;
  startCombine(
    expertOut: Float32Array | FloatRows,
    handle: DispatchHandle,
    target?: FloatRows,
  ): Pending<Float32Array> | Pending<void> {
    const sent = this.uncombined(handle);
    const { hidden } = this.shape;
    const { numTokens } = sent.routing;
    checkExpertOut(expertOut, sent.numOwed, hidden, this.reduce);
    if (target !== undefined) checkTarget('y', target, numTokens, hidden);
    const rows = asRows(expertOut, hidden);
    const isArray = expertOut instanceof Float32Array;
    // Before anything is sent, and for good: some of it may be on its way when the rest fails.
    sent.isLent ||= (this.shape.combineDtype === 'f32' || !isArray) && sent.rows?.isIn(rows.view()) === true;

    // The rows of a source lie together because dispatch ordered them by source.
    let at = 0;
    const bySource = sent.numOwed.map((numRows, rank) => {
      const first = at;
      at += numRows;
      return sent.bySource[rank] === undefined ? undefined : rowsFrom(rows, first, numRows);
    });
    const tokensBySource = sent.bySource.map((part) => part?.numRows ?? 0);
    const given = { bySource, numTokens: tokensBySource, isArray };
    const y = target ?? newRows(numTokens, hidden);
    const pending = this.route.startCombine({ tag: handle.tag, signal: sent.signal, idle: sent.idle }, given, sent, y);
    sent.isCombined = true;
    sent.rows = undefined;
    const finish = async (): Promise<void> => {
      await pending.hook();
      this.numDegradedTokens += sent.degraded.numTokens;
    };
    if (target !== undefined) return pendingOf('combine', finish);
    return pendingOf('combine', async () => {
      await finish();
      return y.view();
    });
  }

  /** A copy of the routing, without choices on masked ranks: the caller may change its arrays. */
  private routingOf(request: RoutedRequest, degraded: DegradedTokens): Routing {
    checkRequest(request, this.shape);
    const topkIdx = withoutMasked(request.topkIdx, this.shape, this.exchange.mask, degraded);
    return { numTokens: topkIdx.length / this.shape.numTopk, topkIdx, topkWeights: request.topkWeights.slice() };
  }

  /** As in the dispatch whose way is taken again. @throws CommError INVALID_ARGUMENT where this rank is among them and has tokens */
  private idleOf(
    request: DispatchRequest,
    cached: Dispatched<State> | undefined,
    numTokens: number,
  ): ReadonlySet<Rank> | undefined {
    const idle = cached === undefined ? (request as RoutedRequest).idle : cached.idle;
    const { rank } = this.exchange.mesh;
    if (numTokens === 0 || idle?.has(rank) !== true) return idle;
    throw invalid(`rank ${rank} has ${numTokens} tokens and is among the idle; name ranks without tokens`);
  }

  private checkCached(request: CachedRequest): Dispatched<State> {
    const cached = this.dispatchedOf(request.handle);
    if (cached === undefined) throw invalid('the handle is of another all-to-all; pass one that this dispatch gave');
    checkCachedRequest(request, cached.routing.numTokens, this.shape.hidden);
    const missing = cached.masked.find((rank) => !this.exchange.mask.has(rank) && cached.bySource[rank] === undefined);
    if (missing !== undefined) throw staleHandle(missing);
    return cached;
  }
}

/** Not zeroed: every row is written. */
const newRows = (numRows: number, hidden: number): FloatRows =>
  floatRows(new Float32Array(Buffer.allocUnsafeSlow(4 * numRows * hidden).buffer), hidden);

function countChoices(slots: ArrayLike<number> = []): number {
  let count = 0;
  for (let i = 0; i < slots.length; i++) if (slots[i]! >= 0) count++;
  return count;
}
