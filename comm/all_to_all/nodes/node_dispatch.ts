/** The dispatch of a hierarchical route: a token crosses once to every other node, and its relay there forwards it to the experts' ranks. */
import type { Pending } from '../contract/all_to_all_contract.js';
import { staleHandle } from '../contract/all_to_all_check.js';
import { CommError } from '../../base/errors.js';
import type { Exchange } from '../exchange/exchange.js';
import type { FrameHeader } from '../../mesh/frame.js';
import { lastArrival } from '../../mesh/gather.js';
import type { Rank } from '../../../base/ids.js';
import type { DestinationLayout } from '../contract/layout.js';
import type { Frame } from '../../mesh/mesh.js';
import { nodeLayoutsOf, relayedLayoutOf, type NodePlan, type RelayedLayout } from './node_layout.js';
import {
  arrivedBySourceNode,
  packFailedDispatch,
  packForwarded,
  readForwarded,
  type RelayedRows,
} from './node_payload.js';
import { dispatchBytes, flagsOf, readDispatchPayload, refusal, type ReceivedDispatch } from '../contract/payload.js';
import { FRESH_MEMORY } from '../../mesh/payload_pool.js';
import type { Arrived, ArrivedRows, CachedRoute, Call, RouteShape, Routing } from '../contract/route.js';
import { packDispatch } from '../contract/row_payloads.js';
import { WireRows } from '../../codec/wire_rows.js';

/** Deadlines that the second hop waits: whoever forwards may have waited one itself. */
export const RELAY_PATIENCE = 2;

/** What the way back and cached dispatches need. */
export interface HierarchicalState {
  /** By node: this rank's own tokens that have experts there. */
  readonly nodes: readonly DestinationLayout[];
  /** By source node: what this rank relays for its rank with the same local number; undefined where that is masked. */
  readonly relayed: readonly (RelayedLayout | undefined)[];
}

/** One dispatch under way. */
interface Dispatching {
  readonly call: Call;
  readonly cached: CachedRoute<HierarchicalState> | undefined;
  readonly nodes: readonly DestinationLayout[];
  /** The own tokens that stay on this node. */
  readonly own: RelayedRows;
}

export class NodeDispatch {
  readonly #exchange: Exchange;
  readonly #shape: RouteShape;
  readonly #plan: NodePlan;

  constructor(exchange: Exchange, shape: RouteShape, plan: NodePlan) {
    [this.#exchange, this.#shape, this.#plan] = [exchange, shape, plan];
  }

  start(
    call: Call,
    x: Float32Array,
    routing: Routing,
    cached: CachedRoute<HierarchicalState> | undefined,
  ): Pending<Arrived<HierarchicalState>> {
    const startMs = performance.now();
    const [exchange, plan] = [this.#exchange, this.#plan];
    const isCached = cached !== undefined;
    const nodes = cached?.state.nodes ?? nodeLayoutsOf(routing.topkIdx, this.#shape, plan.numNodes);

    const { memory } = exchange.mesh;

    // 1. Each token crosses once to every other node that has experts of it.
    const relays = plan.relays(exchange.peers);
    for (const relay of relays) {
      const numRows = nodes[plan.nodeOf(relay)]!.rows.length;
      exchange.checkFrame('dispatch_node', call.tag, relay, this.#bytes(numRows, isCached, 0));
    }
    try {
      for (const relay of relays) {
        const layout = nodes[plan.nodeOf(relay)]!;
        const { bytes: payload } = packDispatch(x, routing.topkWeights, layout, this.#shape, isCached, memory);
        const numRows = layout.rows.length;
        const body = { ...this.#body(isCached, false), numRows, numTokens: numRows, payload, isOwn: true } as const;
        exchange.send('dispatch_node', call.tag, relay, body);
      }
    } catch (error) {
      this.#giveUp(call, isCached, plan.onNode(exchange.peers), error);
      throw error;
    }
    exchange.flush();
    const own = this.#keep(call, x, routing, nodes[plan.node]!, cached);
    const sentMs = performance.now();
    exchange.span('dispatch_node', 'pack', call.tag, startMs, sentMs);
    return { hook: () => this.#finish({ call, cached, nodes, own }, relays, sentMs) };
  }

  async #finish(
    dispatching: Dispatching,
    relays: readonly Rank[],
    sentMs: number,
  ): Promise<Arrived<HierarchicalState>> {
    const { call, cached, nodes } = dispatching;
    const [exchange, plan] = [this.#exchange, this.#plan];
    const mates = plan.onNode(exchange.peers);
    const waiting = new Set(mates);
    try {
      // 2. What came from other nodes goes on inside this one, with the own rows.
      const frames = await exchange.gather('dispatch_node', call.tag, relays, call.signal);
      const arrivedMs = lastArrival(frames, sentMs);
      exchange.span('dispatch_node', 'flight', call.tag, sentMs, arrivedMs);
      const sources = this.#relay(dispatching, frames);
      const kept = this.#forward(dispatching, sources, mates, waiting);
      const forwardedMs = performance.now();
      exchange.span('dispatch', 'pack', call.tag, arrivedMs, forwardedMs);

      // 3. The other ranks of this node forward what they have for this one.
      const forwarded = await exchange.gather('dispatch', call.tag, mates, call.signal, RELAY_PATIENCE);
      exchange.span('dispatch', 'flight', call.tag, forwardedMs, lastArrival(forwarded, forwardedMs));
      const bySource = this.#bySource(kept, forwarded, cached);
      return { bySource, state: { nodes, relayed: sources.map((source) => source?.layout) } };
    } catch (error) {
      this.#giveUp(call, cached !== undefined, waiting, error);
      throw error;
    }
  }

  /** By source node, what this rank hands on. Throws PROTOCOL. */
  #relay({ cached, own }: Dispatching, frames: readonly Frame[]): (RelayedRows | undefined)[] {
    const plan = this.#plan;
    const sources = plan.byNode((node) => (node === plan.node ? own : undefined));
    for (const frame of frames) sources[plan.nodeOf(frame.header.source)] = this.#unpack(frame, cached);
    return sources;
  }

  #unpack({ header, payload }: Frame, cached: CachedRoute<HierarchicalState> | undefined): RelayedRows {
    const { hidden, dispatchDtype, slotsPerRank, ranksPerNode } = this.#shape;
    const nodeShape = { ...this.#shape, slotsPerRank: slotsPerRank * ranksPerNode };
    const { numRows, rows, weights, slots } = readDispatchPayload(header, payload, nodeShape, cached !== undefined);
    const layout =
      cached === undefined
        ? relayedLayoutOf(slots, this.#shape)
        : cached.state.relayed[this.#plan.nodeOf(header.source)];
    if (layout === undefined) throw staleHandle(header.source);
    const numKnown = layout.whole.rows.length;
    if (numKnown !== numRows) {
      const what = cached === undefined ? `${numKnown} of them with a slot` : `for a cached handle of ${numKnown}`;
      throw refusal(header, `${numRows} rows, ${what}`);
    }
    return { layout, rows: new WireRows(dispatchDtype, hidden, rows), weights };
  }

  /** Gives the part of the own rank. Takes a rank from `waiting` once its frame left. */
  #forward(
    { call, cached }: Dispatching,
    sources: readonly (RelayedRows | undefined)[],
    mates: readonly Rank[],
    waiting: Set<Rank>,
  ): ReceivedDispatch {
    const [exchange, plan] = [this.#exchange, this.#plan];
    const { memory } = exchange.mesh;
    const isCached = cached !== undefined;
    for (const mate of mates) {
      const layouts = sources.map((source) => source?.layout.byLocal[plan.localOf(mate)]);
      const numRows = layouts.reduce((sum, layout) => sum + (layout?.rows.length ?? 0), 0);
      exchange.checkFrame('dispatch', call.tag, mate, this.#bytes(numRows, isCached, plan.numNodes));
    }
    for (const mate of mates) {
      const { bytes: payload, numRows } = packForwarded(sources, plan.localOf(mate), this.#shape, isCached, memory);
      const body = { ...this.#body(isCached, true), numRows, numTokens: numRows, payload, isOwn: true } as const;
      exchange.send('dispatch', call.tag, mate, body);
      waiting.delete(mate);
    }
    exchange.flush();
    const kept = packForwarded(sources, plan.local, this.#shape, isCached, FRESH_MEMORY);
    exchange.keep('dispatch', call.tag, kept.numRows, kept.numRows);
    return kept;
  }

  #bySource(
    kept: ReceivedDispatch,
    frames: readonly Frame[],
    cached: CachedRoute<HierarchicalState> | undefined,
  ): (ArrivedRows | undefined)[] {
    const [shape, plan] = [this.#shape, this.#plan];
    const bySource = new Array<ArrivedRows | undefined>(this.#exchange.mesh.size).fill(undefined);
    const put = (received: ReceivedDispatch, local: number, header?: FrameHeader): void => {
      for (const [node, part] of arrivedBySourceNode(received, shape).entries()) {
        const source = plan.rankAt(node, local);
        const known = cached?.bySource[source];
        if (part === undefined) continue;
        if (cached !== undefined && header !== undefined) checkKnown(header, source, part, known);
        bySource[source] = { ...part, ...known };
      }
    };
    put(kept, plan.local);
    for (const { header, payload } of frames) {
      const local = plan.localOf(header.source);
      const sources = plan.byNode((node) => plan.rankAt(node, local));
      put(readForwarded(header, payload, shape, cached !== undefined, sources), local, header);
    }
    return bySource;
  }

  /** The own tokens with experts on this node, encoded like those that other nodes send. */
  #keep(
    { tag }: Call,
    x: Float32Array,
    { topkWeights }: Routing,
    layout: DestinationLayout,
    cached: CachedRoute<HierarchicalState> | undefined,
  ): RelayedRows {
    const { hidden, dispatchDtype } = this.#shape;
    const { rows, weights } = packDispatch(x, topkWeights, layout, this.#shape, cached !== undefined, FRESH_MEMORY);
    this.#exchange.keep('dispatch_node', tag, layout.rows.length, layout.rows.length);
    const known = cached?.state.relayed[this.#plan.node];
    const relayed = known ?? relayedLayoutOf(layout.slots, this.#shape);
    return { layout: relayed, rows: new WireRows(dispatchDtype, hidden, rows), weights };
  }

  /** Tells those who would wait for this rank which rank's failure ends the call: they can't see it themselves. */
  #giveUp({ tag }: Call, isCached: boolean, waiting: Iterable<Rank>, error: unknown): void {
    if (!(error instanceof CommError) || error.code === 'ABORTED' || error.code === 'CLOSED') return;
    const plan = this.#plan;
    const isRelays = error.rank !== undefined && plan.localOf(error.rank) === plan.local;
    const payload = packFailedDispatch(plan.numNodes, isRelays ? plan.nodeOf(error.rank) : plan.node);
    const body = { ...this.#body(isCached, true), numRows: 0, numTokens: 0, payload };
    for (const mate of waiting) this.#exchange.tell('dispatch', tag, mate, body);
  }

  #body(isCached: boolean, isForwarded: boolean) {
    const { hidden, numTopk, dispatchDtype: dtype } = this.#shape;
    return { hidden, numTopk, dtype, flags: flagsOf(this.#shape, isCached, isForwarded) };
  }

  #bytes(numRows: number, isCached: boolean, numSources: number): number {
    const { hidden, numTopk, reduce, dispatchDtype: dtype } = this.#shape;
    return dispatchBytes(numRows, { hidden, numTopk, reduce, dtype, isCached, numSources });
  }
}

/** As many rows of a source as the cached handle knows. */
function checkKnown(
  header: FrameHeader,
  source: Rank,
  { numRows }: ArrivedRows,
  known: Pick<ArrivedRows, 'numRows'> | undefined,
): void {
  if (known === undefined) throw staleHandle(source);
  if (known.numRows === numRows) return;
  throw refusal(header, `${numRows} rows of rank ${source} for a cached handle of ${known.numRows}`);
}
