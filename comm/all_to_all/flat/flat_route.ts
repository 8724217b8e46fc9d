/** Every row goes straight to the rank of its experts: one frame per pair of ranks and phase. */
import type { FloatRows } from '../../../base/float_rows.js';
import type { Pending } from '../contract/all_to_all_contract.js';
import { sumChoices, sumRanks, type ReturnedRows } from '../contract/combine_sum.js';
import type { Exchange } from '../exchange/exchange.js';
import type { Call, FrameForm } from '../exchange/round.js';
import type { Rank } from '../../../base/ids.js';
import { layoutOf, type DestinationLayout } from '../contract/layout.js';
import type { Frame } from '../../mesh/mesh.js';
import { checkCombinePayload, combineForm, dispatchForm, readDispatchPayload, refusal } from '../contract/payload.js';
import type {
  Arrived,
  ArrivedRows,
  CachedRoute,
  DispatchedRows,
  ExpertRows,
  Route,
  RouteShape,
  Routing,
} from '../contract/route.js';
import { encodedRows, fillWeights, keptRows, sentDispatch, type KeptRows } from '../contract/row_payloads.js';
import { travelledRows } from '../../codec/row_source.js';
import { decodeRows, roundTripRows } from '../../codec/wire_dtype.js';

const NOBODY: readonly Rank[] = [];

/** Per destination rank, what this rank sent. */
export type FlatState = readonly DestinationLayout[];

/** The route with one hop: what a rank sends is in its state, by destination. Objects are written out: to spread one takes as long as a small phase. */
export class FlatRoute implements Route<FlatState> {
  private readonly forms: { readonly routed: FrameForm; readonly cached: FrameForm; readonly combine: FrameForm };

  constructor(
    private readonly exchange: Exchange,
    private readonly shape: RouteShape,
  ) {
    const routed = dispatchForm(shape);
    this.forms = { routed, cached: dispatchForm(shape, { isCached: true }), combine: combineForm(shape) };
  }

  /** Sends the rows of `x` [T·H] to the ranks of their experts; with `cached` no routing travels. */
  startDispatch(
    call: Call,
    x: FloatRows,
    routing: Routing,
    cached: CachedRoute<FlatState> | undefined,
    isLent: boolean,
  ): Pending<Arrived<FlatState>> {
    const startMs = performance.now();
    const { exchange, shape } = this;
    const { rank, size, memory } = exchange.mesh;
    const { peers } = exchange;
    const idle = exchange.isMasking ? undefined : call.idle;
    const isIdle = idle?.has(rank) === true;
    const { numTopk, slotsPerRank } = shape;
    const layouts = cached?.state ?? layoutOf(routing.topkIdx, { numTopk, slotsPerRank, size });
    const options = { isCached: cached !== undefined, memory, isLent };
    const gather = exchange.start({
      tag: call.tag,
      signal: call.signal,
      startMs,
      phase: 'dispatch',
      form: cached === undefined ? this.forms.routed : this.forms.cached,
      peers: isIdle ? NOBODY : peers,
      sources: idle === undefined ? peers : peers.filter((peer) => !idle.has(peer)),
      // Who has rows may still wait for those of the layer before, with a deadline of its own.
      patience: isIdle ? 2 : 1,
      countsOf: (to) => ({ numRows: layouts[to]!.rows.length }),
      pack: (to) => sentDispatch(x, routing.topkWeights, layouts[to]!, shape, options),
      keep: () => this.own(x, routing, layouts[rank]!),
    });
    return {
      hook: async () => {
        const bySource = exchange.bySource(await gather(), (frame) => this.unpack(frame, cached));
        return { bySource, state: layouts };
      },
    };
  }

  /** Sends the experts' rows straight home; the hook sums what comes back to y [T·H]. */
  startCombine(
    call: Call,
    { bySource, numTokens, isArray }: ExpertRows,
    { routing, state, degraded }: DispatchedRows<FlatState>,
    y: FloatRows,
  ): Pending<void> {
    const startMs = performance.now();
    const { exchange, shape } = this;
    const { rank, memory } = exchange.mesh;
    const idle = exchange.isMasking ? undefined : call.idle;
    const peers = exchange.peers.filter((peer) => bySource[peer] !== undefined);
    const withIdle = idle && exchange.peers.filter((peer) => bySource[peer] !== undefined || idle.has(peer));
    // 1. Every source's rows go home.
    const gather = exchange.start({
      tag: call.tag,
      signal: call.signal,
      startMs,
      phase: 'combine',
      form: this.forms.combine,
      peers,
      sources: idle?.has(rank) === true ? NOBODY : (withIdle ?? peers),
      countsOf: (to) => ({ numRows: bySource[to]!.numRows, numTokens: numTokens[to]! }),
      pack: (to) => encodedRows(bySource[to]!, isArray, shape, memory),
      keep: () => keptRows(bySource[rank]!, isArray, shape, memory),
    });
    return {
      // 2. This rank's rows come home and are summed in fixed order.
      hook: async () => {
        const gathered = await gather();
        const returned = exchange.bySource(gathered, (frame) => this.returned(frame, state[frame.header.source]!));
        for (const [from, { rows }] of state.entries()) if (returned[from] === undefined) degraded.add(rows);
        const rows = returned.map((part) => part?.source());
        this.sum(rows, routing, state, y);
        for (const part of returned) part?.release?.();
        exchange.span('combine', 'unpack', call.tag, gathered.arrivedMs);
      },
    };
  }

  private sum(returned: ReturnedRows, routing: Routing, state: FlatState, y: FloatRows): void {
    const { numTopk, slotsPerRank, reduce, ranksPerNode } = this.shape;
    const { topkIdx, topkWeights } = routing;
    if (reduce === 'source') sumChoices(returned, { topkIdx, topkWeights, numTopk, slotsPerRank }, y);
    else sumRanks(returned, state, routing.numTokens, ranksPerNode, y);
  }

  /** The own rows, rounded as if they had travelled. */
  private own(x: FloatRows, { topkWeights }: Routing, { rows, slots }: DestinationLayout): ArrivedRows {
    const { hidden, numTopk, reduce, dispatchDtype } = this.shape;
    const numRows = rows.length;
    const weights = new Float32Array(reduce === 'rank' ? numRows * numTopk : 0);
    fillWeights(weights, topkWeights, rows, slots, numTopk);
    return {
      numRows,
      slots,
      weights,
      copyTo: (target, rowStart) => roundTripRows(dispatchDtype, x, rows, numRows, hidden, target, rowStart),
    };
  }

  private unpack({ header, payload, release }: Frame, cached: CachedRoute<FlatState> | undefined): ArrivedRows {
    const { hidden, dispatchDtype } = this.shape;
    const kind = { isCached: cached !== undefined };
    const { numRows, rows, weights, slots } = readDispatchPayload(header, payload, this.shape, kind);
    const known = cached?.bySource[header.source];
    if (known !== undefined && known.numRows !== numRows) {
      throw refusal(header, `${numRows} rows for a cached handle of ${known.numRows}`);
    }
    return {
      numRows,
      slots: known?.slots ?? slots,
      weights: known?.weights ?? weights,
      copyTo: (target, rowStart) => decodeRows(dispatchDtype, rows, numRows, hidden, target, rowStart),
      release,
    };
  }

  private returned({ header, payload, release }: Frame, { rows, numPairs }: DestinationLayout): KeptRows {
    const { shape } = this;
    checkCombinePayload(header, shape.reduce === 'rank' ? rows.length : numPairs, this.forms.combine);
    return { source: () => travelledRows(shape.combineDtype, payload, header.numRows, shape.hidden), release };
  }
}
