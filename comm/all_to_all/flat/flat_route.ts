/** Every row goes straight to the rank of its experts: one frame per pair of ranks and phase. */
import type { Pending } from '../contract/all_to_all_contract.js';
import { sumChoices, sumRanks } from '../contract/combine_sum.js';
import type { Exchange } from '../exchange/exchange.js';
import { lastArrival } from '../../mesh/gather.js';
import { layoutOf, type DestinationLayout } from '../contract/layout.js';
import type { Frame } from '../../mesh/mesh.js';
import {
  checkCombinePayload,
  combineBytes,
  dispatchBytes,
  flagsOf,
  readDispatchPayload,
  refusal,
} from '../contract/payload.js';
import type { LeasedFloats } from '../../mesh/payload_pool.js';
import type {
  Arrived,
  ArrivedRows,
  CachedRoute,
  Call,
  ExpertRows,
  Route,
  RouteShape,
  Routing,
} from '../contract/route.js';
import { decodedRows, encodedRows, fillWeights, packDispatch, roundedRows } from '../contract/row_payloads.js';
import { decodeRows, roundTripRows } from '../../codec/wire_dtype.js';

/** Per destination rank, what this rank sent. */
export type FlatState = readonly DestinationLayout[];

export class FlatRoute implements Route<FlatState> {
  readonly #exchange: Exchange;
  readonly #shape: RouteShape;

  constructor(exchange: Exchange, shape: RouteShape) {
    [this.#exchange, this.#shape] = [exchange, shape];
  }

  startDispatch(
    call: Call,
    x: Float32Array,
    routing: Routing,
    cached: CachedRoute<FlatState> | undefined,
  ): Pending<Arrived<FlatState>> {
    // 1. Which rows go where, and whether they fit.
    const startMs = performance.now();
    const exchange = this.#exchange;
    const { peers, mesh } = exchange;
    const { numTopk, slotsPerRank } = this.#shape;
    const layouts = cached?.state ?? layoutOf(routing.topkIdx, { numTopk, slotsPerRank, size: mesh.size });
    const isCached = cached !== undefined;
    for (const peer of peers)
      exchange.checkFrame('dispatch', call.tag, peer, this.#dispatchBytes(layouts[peer]!, isCached));

    // 2. One frame to every peer, also without rows: a peer that gets none would wait for it.
    for (const peer of peers) {
      const numRows = layouts[peer]!.rows.length;
      const { bytes: payload } = packDispatch(
        x,
        routing.topkWeights,
        layouts[peer]!,
        this.#shape,
        isCached,
        mesh.memory,
      );
      const body = {
        ...this.#bodyOf('dispatch', isCached),
        numRows,
        numTokens: numRows,
        payload,
        isOwn: true,
      } as const;
      exchange.send('dispatch', call.tag, peer, body);
    }
    exchange.flush();
    const numKept = layouts[mesh.rank]!.rows.length;
    exchange.keep('dispatch', call.tag, numKept, numKept);
    const sentMs = performance.now();
    exchange.span('dispatch', 'pack', call.tag, startMs, sentMs);

    return {
      // 3. One frame from every peer.
      hook: async () => {
        const frames = await exchange.gather('dispatch', call.tag, peers, call.signal);
        exchange.span('dispatch', 'flight', call.tag, sentMs, lastArrival(frames, sentMs));
        const bySource = new Array<ArrivedRows | undefined>(mesh.size).fill(undefined);
        bySource[mesh.rank] = this.#own(x, routing, layouts[mesh.rank]!);
        for (const frame of frames) bySource[frame.header.source] = this.#unpack(frame, cached);
        return { bySource, state: layouts };
      },
    };
  }

  startCombine(
    call: Call,
    { bySource, numTokens }: ExpertRows,
    { routing, state, degraded }: Parameters<Route<FlatState>['startCombine']>[2],
  ): Pending<Float32Array> {
    const startMs = performance.now();
    const exchange = this.#exchange;
    const { mesh } = exchange;
    const { hidden, combineDtype } = this.#shape;

    // 1. Every source's rows go home.
    const peers = exchange.peers.filter((peer) => bySource[peer] !== undefined);
    const numRowsFor = (rank: number): number => bySource[rank]!.length / hidden;
    for (const peer of peers)
      exchange.checkFrame('combine', call.tag, peer, combineBytes(numRowsFor(peer), hidden, combineDtype));
    for (const peer of peers) {
      const numRows = numRowsFor(peer);
      const rows = encodedRows(bySource[peer]!, this.#shape, mesh.memory);
      const body = { ...this.#bodyOf('combine', false), numRows, numTokens: numTokens[peer]!, ...rows };
      exchange.send('combine', call.tag, peer, body);
    }
    exchange.flush();
    const own = roundedRows(bySource[mesh.rank]!, this.#shape, mesh.memory);
    exchange.keep('combine', call.tag, numTokens[mesh.rank]!, numRowsFor(mesh.rank));
    const sentMs = performance.now();
    exchange.span('combine', 'pack', call.tag, startMs, sentMs);

    return {
      // 2. This rank's rows come home and are summed in fixed order.
      hook: async () => {
        const frames = await exchange.gather('combine', call.tag, peers, call.signal);
        const arrivedMs = lastArrival(frames, sentMs);
        exchange.span('combine', 'flight', call.tag, sentMs, arrivedMs);
        const returned = new Array<LeasedFloats | undefined>(mesh.size).fill(undefined);
        returned[mesh.rank] = own;
        for (const frame of frames) returned[frame.header.source] = this.#decode(frame, state[frame.header.source]!);
        for (const [rank, { rows }] of state.entries()) if (returned[rank] === undefined) degraded.add(rows);
        const rows = returned.map((part) => part?.floats);
        const y = this.#sum(rows, routing, state);
        for (const part of [...returned, ...frames]) part?.release?.();
        exchange.span('combine', 'unpack', call.tag, arrivedMs);
        return y;
      },
    };
  }

  #sum(returned: readonly (Float32Array | undefined)[], routing: Routing, state: FlatState): Float32Array {
    const { hidden, numTopk, slotsPerRank, reduce, ranksPerNode } = this.#shape;
    if (reduce === 'source') return sumChoices(returned, { ...routing, numTopk, slotsPerRank }, hidden);
    return sumRanks(returned, state, routing.numTokens, hidden, ranksPerNode);
  }

  #bodyOf(phase: 'dispatch' | 'combine', isCached: boolean) {
    const { hidden, numTopk, dispatchDtype, combineDtype } = this.#shape;
    const dtype = phase === 'dispatch' ? dispatchDtype : combineDtype;
    return { hidden, numTopk, dtype, flags: flagsOf(this.#shape, isCached) };
  }

  #dispatchBytes({ rows }: DestinationLayout, isCached: boolean): number {
    const { hidden, numTopk, reduce, dispatchDtype: dtype } = this.#shape;
    return dispatchBytes(rows.length, { hidden, numTopk, reduce, dtype, isCached });
  }

  /** The own rows, rounded as if they had travelled. */
  #own(x: Float32Array, { topkWeights }: Routing, { rows, slots }: DestinationLayout): ArrivedRows {
    const { hidden, numTopk, reduce, dispatchDtype } = this.#shape;
    const numRows = rows.length;
    const weights = new Float32Array(reduce === 'rank' ? numRows * numTopk : 0);
    if (weights.length > 0) fillWeights(weights, topkWeights, rows, slots, numTopk);
    return {
      ...{ numRows, slots, weights },
      copyTo: (recvX, rowStart) => roundTripRows(dispatchDtype, x, rows, numRows, hidden, recvX, rowStart),
    };
  }

  #unpack({ header, payload, release }: Frame, cached: CachedRoute<FlatState> | undefined): ArrivedRows {
    const { hidden, dispatchDtype } = this.#shape;
    const { numRows, rows, weights, slots } = readDispatchPayload(header, payload, this.#shape, cached !== undefined);
    const known = cached?.bySource[header.source];
    if (known !== undefined && known.numRows !== numRows) {
      throw refusal(header, `${numRows} rows for a cached handle of ${known.numRows}`);
    }
    return {
      ...(known ?? { slots, weights }),
      numRows,
      copyTo: (recvX, rowStart) => {
        decodeRows(dispatchDtype, rows, numRows, hidden, recvX, rowStart);
        release?.();
      },
    };
  }

  #decode({ header, payload }: Frame, { rows, numPairs }: DestinationLayout): LeasedFloats {
    checkCombinePayload(header, this.#shape.reduce === 'rank' ? rows.length : numPairs, this.#shape);
    return decodedRows(payload, header.numRows, this.#shape, this.#exchange.mesh.memory);
  }
}
