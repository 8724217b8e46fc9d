/** The combine of a hierarchical route: experts' rows go back to the relay, which sums or merges those of its node for each source. */
import type { Pending } from '../contract/all_to_all_contract.js';
import { sumChoices, sumRanks, type ReturnedRows } from '../contract/combine_sum.js';
import type { DegradedTokens } from '../contract/degraded.js';
import { CommError } from '../../base/errors.js';
import type { Exchange } from '../exchange/exchange.js';
import { lastArrival } from '../../mesh/gather.js';
import type { Rank } from '../../../base/ids.js';
import type { DestinationLayout } from '../contract/layout.js';
import type { Frame } from '../../mesh/mesh.js';
import { RELAY_PATIENCE, type HierarchicalState } from './node_dispatch.js';
import { choicesOf, withoutMissing, type NodePlan } from './node_layout.js';
import { FAILED, MISSING, numOwed, packNodeRows, readNodeRows, RETURNED, splitReturned } from './node_payload.js';
import { encodedNodeRows, ownNodeRows, type NodeReturns } from './node_sum.js';
import { checkCombinePayload, combineBytes, flagsOf, refusal } from '../contract/payload.js';
import type { Call, ExpertRows, RouteShape, Routing } from '../contract/route.js';
import { FRESH_MEMORY } from '../../mesh/payload_pool.js';
import { decodedRows } from '../contract/row_payloads.js';
import { encodeRows, wireRowBytes } from '../../codec/wire_dtype.js';

/** One combine under way. */
interface Combining {
  readonly call: Call;
  readonly routing: Routing;
  readonly state: HierarchicalState;
  readonly degraded: DegradedTokens;
  /** What this rank's experts return to itself as a relay: rows by source node, in the wire dtype. */
  readonly own: Uint8Array;
}

/** What came home from one node. */
interface HomeRows {
  /** What was sent there, without the ranks whose rows are missing. */
  readonly kept: DestinationLayout;
  readonly rows: Float32Array;
}

export class NodeCombine {
  readonly #exchange: Exchange;
  readonly #shape: RouteShape;
  readonly #plan: NodePlan;

  constructor(exchange: Exchange, shape: RouteShape, plan: NodePlan) {
    [this.#exchange, this.#shape, this.#plan] = [exchange, shape, plan];
  }

  start(
    call: Call,
    rows: ExpertRows,
    dispatched: { readonly routing: Routing; readonly state: HierarchicalState; readonly degraded: DegradedTokens },
  ): Pending<Float32Array> {
    const startMs = performance.now();
    const [exchange, plan] = [this.#exchange, this.#plan];
    const { tag } = call;

    // 1. Every row goes back to the rank of this node that forwarded it.
    const mates = plan.onNode(exchange.peers).filter((mate) => rows.bySource[mate] !== undefined);
    this.#checkFrames(call, rows, mates, dispatched.state);
    try {
      for (const mate of mates) {
        const [numRows, numTokens] = this.#counts(rows, plan.localOf(mate));
        const payload = this.#pack(rows, plan.localOf(mate));
        exchange.send('combine', tag, mate, { ...this.#body(true), numRows, numTokens, payload });
      }
    } catch (error) {
      this.#giveUp(call, this.#relays(dispatched.state), error);
      throw error;
    }
    exchange.flush();
    const own = this.#pack(rows, plan.local);
    const [numRows, numTokens] = this.#counts(rows, plan.local);
    exchange.keep('combine', tag, numTokens, numRows);
    const sentMs = performance.now();
    exchange.span('combine', 'pack', tag, startMs, sentMs);
    return { hook: () => this.#finish({ call, ...dispatched, own }, mates, sentMs) };
  }

  async #finish(combining: Combining, mates: readonly Rank[], sentMs: number): Promise<Float32Array> {
    const { call, state } = combining;
    const exchange = this.#exchange;
    const relays = this.#relays(state);
    const waiting = new Set(relays);
    try {
      // 2. This node's rows, summed or merged, cross to their sources.
      const frames = await exchange.gather('combine', call.tag, mates, call.signal);
      const arrivedMs = lastArrival(frames, sentMs);
      exchange.span('combine', 'flight', call.tag, sentMs, arrivedMs);
      const own = this.#relay(combining, frames, relays, waiting);
      const relayedMs = performance.now();
      exchange.span('combine_node', 'pack', call.tag, arrivedMs, relayedMs);

      // 3. The rows of all nodes come home and are summed in fixed order.
      const home = await exchange.gather('combine_node', call.tag, relays, call.signal, RELAY_PATIENCE);
      const homeMs = lastArrival(home, relayedMs);
      exchange.span('combine_node', 'flight', call.tag, relayedMs, homeMs);
      const y = this.#sum(combining, own, home);
      exchange.span('combine_node', 'unpack', call.tag, homeMs);
      return y;
    } catch (error) {
      this.#giveUp(call, waiting, error);
      throw error;
    }
  }

  /** Those that this rank relayed for, and that relayed for it. */
  #relays({ relayed }: HierarchicalState): Rank[] {
    const relays = this.#plan.relays(this.#exchange.peers);
    return relays.filter((relay) => relayed[this.#plan.nodeOf(relay)] !== undefined);
  }

  /** Gives the own tokens' part. Takes a rank from `waiting` once its frame left. */
  #relay(combining: Combining, frames: readonly Frame[], relays: readonly Rank[], waiting: Set<Rank>): HomeRows {
    const { call, state } = combining;
    const [exchange, plan] = [this.#exchange, this.#plan];
    const { returned, states } = this.#returned(combining, frames);
    for (const relay of relays) {
      const returns = this.#returnsOf(plan.nodeOf(relay), returned, states, state);
      const { kept } = returns;
      const payload = packNodeRows(encodedNodeRows(returns, this.#shape), states);
      const numRows = numOwed(kept, this.#shape);
      exchange.send('combine_node', call.tag, relay, {
        ...this.#body(false),
        numRows,
        numTokens: kept.rows.length,
        payload,
      });
      waiting.delete(relay);
    }
    exchange.flush();
    const returns = this.#returnsOf(plan.node, returned, states, state);
    exchange.keep('combine_node', call.tag, returns.kept.rows.length, numOwed(returns.kept, this.#shape));
    const kept = withoutMissing(state.nodes[plan.node]!, states, this.#shape);
    return { kept, rows: ownNodeRows(returns, this.#shape, plan.numNodes) };
  }

  /** [local rank][source node] what this node's ranks returned, and what became of each. Throws PROTOCOL. */
  #returned({ state, own }: Combining, frames: readonly Frame[]) {
    const [shape, plan] = [this.#shape, this.#plan];
    const layoutsOf = (local: number) => state.relayed.map((relayed) => relayed?.byLocal[local]);
    const returned = new Array<(Uint8Array | undefined)[] | undefined>(plan.ranksPerNode).fill(undefined);
    returned[plan.local] = splitReturned(own, layoutsOf(plan.local), shape);
    for (const { header, payload } of frames) {
      const layouts = layoutsOf(plan.localOf(header.source));
      const numRows = layouts.reduce((sum, layout) => sum + (layout === undefined ? 0 : numOwed(layout, shape)), 0);
      checkCombinePayload(header, numRows, shape, true);
      returned[plan.localOf(header.source)] = splitReturned(payload, layouts, shape);
    }
    return { returned, states: Uint8Array.from(returned, (one) => (one === undefined ? MISSING : RETURNED)) };
  }

  #returnsOf(
    node: number,
    returned: readonly (readonly (Uint8Array | undefined)[] | undefined)[],
    states: Uint8Array,
    state: HierarchicalState,
  ): NodeReturns {
    const relayed = state.relayed[node]!;
    const kept = withoutMissing(relayed.whole, states, this.#shape);
    return { relayed, kept, byLocal: returned.map((byNode) => byNode?.[node]) };
  }

  /** y [T·H]; tokens that lack an expert's row are degraded. */
  #sum({ routing, state, degraded }: Combining, own: HomeRows, frames: readonly Frame[]): Float32Array {
    const { hidden, numTopk, slotsPerRank, ranksPerNode, reduce } = this.#shape;
    const plan = this.#plan;
    const home = plan.byNode((node) => (node === plan.node ? own : undefined));
    for (const frame of frames) {
      const node = plan.nodeOf(frame.header.source);
      home[node] = this.#unpack(frame, state.nodes[node]!, node);
    }
    const layouts = home.map((one) => one?.kept);
    const topkIdx = choicesOf(layouts, routing.numTokens, this.#shape);
    for (let i = 0; i < topkIdx.length; i += 1) {
      if (topkIdx[i] !== routing.topkIdx[i]) degraded.add([Math.floor(i / numTopk)]);
    }
    const returned: ReturnedRows = home.map((one) => one?.rows);
    if (reduce === 'source') {
      const choices = { ...routing, topkIdx, numTopk, slotsPerRank: slotsPerRank * ranksPerNode };
      return sumChoices(returned, choices, hidden);
    }
    const known = layouts.map((layout, node) => layout ?? state.nodes[node]!);
    return sumRanks(returned, known, routing.numTokens, hidden, plan.numNodes);
  }

  #unpack({ header, payload }: Frame, sent: DestinationLayout, node: number): HomeRows {
    const plan = this.#plan;
    const ranks = Array.from({ length: plan.ranksPerNode }, (_, local) => plan.rankAt(node, local));
    const { rows, states } = readNodeRows(header, payload, this.#shape, ranks);
    const kept = withoutMissing(sent, states, this.#shape);
    const numRows = numOwed(kept, this.#shape);
    if (header.numRows !== numRows) throw refusal(header, `${header.numRows} rows, ${numRows} expected`);
    return { kept, rows: decodedRows(rows, numRows, this.#shape, FRESH_MEMORY).floats };
  }

  /** Tells those who would wait for this rank which rank's failure ends the call: they can't see it themselves. */
  #giveUp({ tag }: Call, waiting: Iterable<Rank>, error: unknown): void {
    if (!(error instanceof CommError) || error.code === 'ABORTED' || error.code === 'CLOSED') return;
    const plan = this.#plan;
    const isMates = error.rank !== undefined && plan.nodeOf(error.rank) === plan.node;
    const states = new Uint8Array(plan.ranksPerNode).fill(MISSING);
    states[isMates ? plan.localOf(error.rank) : plan.local] = FAILED;
    const body = { ...this.#body(false), numRows: 0, numTokens: 0, payload: states };
    for (const relay of waiting) this.#exchange.tell('combine_node', tag, relay, body);
  }

  /** Both hops fit, as far as this rank sends them: known before anything is sent. */
  #checkFrames({ tag }: Call, rows: ExpertRows, mates: readonly Rank[], state: HierarchicalState): void {
    const [exchange, plan] = [this.#exchange, this.#plan];
    const { hidden, combineDtype, ranksPerNode } = this.#shape;
    for (const mate of mates) {
      const [numRows] = this.#counts(rows, plan.localOf(mate));
      exchange.checkFrame('combine', tag, mate, combineBytes(numRows, hidden, combineDtype));
    }
    for (const relay of this.#relays(state)) {
      const { whole } = state.relayed[plan.nodeOf(relay)]!;
      const numBytes = combineBytes(numOwed(whole, this.#shape), hidden, combineDtype, ranksPerNode);
      exchange.checkFrame('combine_node', tag, relay, numBytes);
    }
  }

  /** Rows, and the tokens that they stand for, of all sources with this local number. */
  #counts({ bySource, numTokens }: ExpertRows, local: number): [numRows: number, numTokens: number] {
    const ranks = this.#plan.byNode((node) => this.#plan.rankAt(node, local));
    const numValues = ranks.reduce((sum, rank) => sum + (bySource[rank]?.length ?? 0), 0);
    return [numValues / this.#shape.hidden, ranks.reduce((sum, rank) => sum + numTokens[rank]!, 0)];
  }

  /** One block of rows per source with this local number, in the wire dtype. */
  #pack(rows: ExpertRows, local: number): Uint8Array {
    const { hidden, combineDtype } = this.#shape;
    const [numRows] = this.#counts(rows, local);
    const rowBytes = wireRowBytes(combineDtype, hidden);
    const bytes = new Uint8Array(numRows * rowBytes);
    let at = 0;
    for (let node = 0; node < this.#plan.numNodes; node += 1) {
      const part = rows.bySource[this.#plan.rankAt(node, local)];
      if (part === undefined) continue;
      const end = at + (part.length / hidden) * rowBytes;
      encodeRows(combineDtype, part, null, part.length / hidden, hidden, bytes.subarray(at, end));
      at = end;
    }
    return bytes;
  }

  #body(isForwarded: boolean) {
    const { hidden, numTopk, combineDtype: dtype } = this.#shape;
    return { hidden, numTopk, dtype, flags: flagsOf(this.#shape, false, isForwarded) };
  }
}
