/** The combine of a hierarchical route: experts' rows go back to the relay, which sums or merges those of its node for each source. */
import type { FloatRows } from '../../../base/float_rows.js';
import type { Pending } from '../contract/all_to_all_contract.js';
import { sumChoices, sumRanks, type ReturnedRows } from '../contract/combine_sum.js';
import type { Exchange } from '../exchange/exchange.js';
import type { Call, Gathered, Round, RoundRows, RowCounts } from '../exchange/round.js';
import type { Rank } from '../../../base/ids.js';
import type { DestinationLayout } from '../contract/layout.js';
import type { Frame } from '../../mesh/mesh.js';
import type { HierarchicalState } from './node_dispatch.js';
import { choicesOf, withoutMissing, type NodePlan } from './node_layout.js';
import { FAILED, MISSING, numOwed, packNodeRows, readNodeRows, RETURNED, splitReturned } from './node_payload.js';
import { encodedNodeRows, ownNodeRows, type NodeReturns } from './node_sum.js';
import { checkCombinePayload, combineForm, refusal } from '../contract/payload.js';
import type { DispatchedRows, ExpertRows, RouteShape } from '../contract/route.js';
import { travelledRows, type RowSource } from '../../codec/row_source.js';
import { startTwoHops } from './two_hops.js';
import { encodeRows, wireRowBytes } from '../../codec/wire_dtype.js';

/** What came home from one node. */
interface HomeRows {
  /** What was sent there, without the ranks whose rows are missing. */
  readonly kept: DestinationLayout;
  readonly rows: RowSource;
}

/** Every combine of one rank; what a call needs is in its arguments. */
export class NodeCombine {
  constructor(
    private readonly exchange: Exchange,
    private readonly shape: RouteShape,
    private readonly plan: NodePlan,
  ) {}

  /**
   * Sends the first hop now; the hook waits for it, sends the second one and sums what comes home.
   * @throws CommError LIMIT when a frame of either hop is too large, before anything is sent
   */
  start(call: Call, rows: ExpertRows, dispatched: DispatchedRows<HierarchicalState>, y: FloatRows): Pending<void> {
    const startMs = performance.now();
    const { exchange, shape, plan } = this;
    const { state } = dispatched;
    // 1. Every row goes back to the rank of this node that forwarded it.
    const first: Round<Uint8Array> = {
      ...call,
      startMs,
      phase: 'combine',
      form: combineForm(shape, { isForwarded: true }),
      peers: plan.onNode(exchange.peers).filter((mate) => rows.bySource[mate] !== undefined),
      countsOf: (to) => this.counts(rows, plan.localOf(to)),
      pack: (mate) => ({ payload: this.pack(rows, plan.localOf(mate)) }),
      keep: () => this.pack(rows, plan.local),
    };
    // 2. This node's rows, summed or merged, cross to their sources.
    const second = { phase: 'combine_node', form: combineForm(shape, { ranksPerNode: plan.ranksPerNode }) } as const;
    // Both hops fit, as far as this rank sends them: known before anything is sent.
    exchange.check(first);
    const mostTo = (relay: Rank): RowCounts => ({ numRows: numOwed(state.relayed[plan.nodeOf(relay)]!.whole, shape) });
    exchange.check({ ...call, ...second, peers: this.relays(state), countsOf: mostTo });
    return startTwoHops(exchange, {
      first,
      second,
      nextPeers: () => this.relays(state),
      relay: (gathered) => this.relay(gathered, state),
      // 3. The rows of all nodes come home and are summed in fixed order.
      finish: (gathered) => {
        this.sum(gathered, dispatched, y);
        exchange.span('combine_node', 'unpack', call.tag, gathered.arrivedMs);
      },
      failure: (failed) => {
        const states = new Uint8Array(plan.ranksPerNode).fill(MISSING);
        states[plan.nodeOf(failed) === plan.node ? plan.localOf(failed) : plan.local] = FAILED;
        return states;
      },
    });
  }

  /** Those that this rank relayed for, and that relayed for it. */
  private relays({ relayed }: HierarchicalState): Rank[] {
    const relays = this.plan.relays(this.exchange.peers);
    return relays.filter((relay) => relayed[this.plan.nodeOf(relay)] !== undefined);
  }

  /** What goes home to each source, and the own tokens' part. @throws CommError PROTOCOL when a rank of this node returned what it doesn't owe. */
  private relay(gathered: Gathered<Uint8Array>, state: HierarchicalState): RoundRows<HomeRows> {
    const { shape, plan } = this;
    const { returned, states } = this.returned(gathered, state);
    const returns = state.relayed.map((relayed, node): NodeReturns | undefined => {
      if (relayed === undefined) return undefined;
      const kept = withoutMissing(relayed.whole, states, shape);
      return { relayed, kept, byLocal: returned.map((byNode) => byNode?.[node]) };
    });
    const returnsTo = (rank: Rank): NodeReturns => returns[plan.nodeOf(rank)]!;
    return {
      countsOf: (to) => {
        const { kept } = returnsTo(to);
        return { numRows: numOwed(kept, shape), numTokens: kept.rows.length };
      },
      pack: (relay) => ({ payload: packNodeRows(encodedNodeRows(returnsTo(relay), shape), states) }),
      keep: () => {
        const kept = withoutMissing(state.nodes[plan.node]!, states, shape);
        return { kept, rows: ownNodeRows(returns[plan.node]!, shape, plan.numNodes) };
      },
    };
  }

  /** [local rank][source node] what this node's ranks returned, and what became of each. @throws CommError PROTOCOL when one returned what it doesn't owe. */
  private returned({ own, frames }: Gathered<Uint8Array>, state: HierarchicalState) {
    const { shape, plan } = this;
    const layoutsOf = (local: number) => state.relayed.map((relayed) => relayed?.byLocal[local]);
    const returned = new Array<(Uint8Array | undefined)[] | undefined>(plan.ranksPerNode).fill(undefined);
    returned[plan.local] = splitReturned(own, layoutsOf(plan.local), shape);
    for (const { header, payload } of frames) {
      const layouts = layoutsOf(plan.localOf(header.source));
      const numRows = layouts.reduce((sum, layout) => sum + (layout === undefined ? 0 : numOwed(layout, shape)), 0);
      checkCombinePayload(header, numRows, combineForm(shape, { isForwarded: true }));
      returned[plan.localOf(header.source)] = splitReturned(payload, layouts, shape);
    }
    return { returned, states: Uint8Array.from(returned, (one) => (one === undefined ? MISSING : RETURNED)) };
  }

  /** Tokens that lack an expert's row are degraded. */
  private sum(
    { own, frames }: Gathered<HomeRows>,
    { routing, state, degraded }: DispatchedRows<HierarchicalState>,
    y: FloatRows,
  ): void {
    const { shape, plan } = this;
    const { numTopk, slotsPerRank, ranksPerNode, reduce } = shape;
    const home = plan.byNode((node) => (node === plan.node ? own : undefined));
    for (const frame of frames) {
      const node = plan.nodeOf(frame.header.source);
      home[node] = this.unpack(frame, state.nodes[node]!, node);
    }
    const layouts = home.map((one) => one?.kept);
    const topkIdx = choicesOf(layouts, routing.numTokens, shape);
    for (let i = 0; i < topkIdx.length; i++) {
      if (topkIdx[i] !== routing.topkIdx[i]) degraded.add([Math.floor(i / numTopk)]);
    }
    const returned: ReturnedRows = home.map((one) => one?.rows);
    if (reduce === 'source') {
      const choices = { ...routing, topkIdx, numTopk, slotsPerRank: slotsPerRank * ranksPerNode };
      return sumChoices(returned, choices, y);
    }
    const known = layouts.map((layout, node) => layout ?? state.nodes[node]!);
    sumRanks(returned, known, routing.numTokens, plan.numNodes, y);
  }

  private unpack({ header, payload }: Frame, sent: DestinationLayout, node: number): HomeRows {
    const { ranksPerNode } = this.plan;
    const ranks = Array.from({ length: ranksPerNode }, (_, local) => this.plan.rankAt(node, local));
    const { rows, states } = readNodeRows(header, payload, this.shape, ranks);
    const kept = withoutMissing(sent, states, this.shape);
    const numRows = numOwed(kept, this.shape);
    if (header.numRows !== numRows) throw refusal(header, `${header.numRows} rows, ${numRows} expected`);
    return { kept, rows: travelledRows(this.shape.combineDtype, rows, numRows, this.shape.hidden) };
  }

  /** Rows, and the tokens that they stand for, of all sources with this local number. */
  private counts({ bySource, numTokens }: ExpertRows, local: number): RowCounts {
    const ranks = this.plan.byNode((node) => this.plan.rankAt(node, local));
    return {
      numRows: ranks.reduce((sum, rank) => sum + (bySource[rank]?.numRows ?? 0), 0),
      numTokens: ranks.reduce((sum, rank) => sum + numTokens[rank]!, 0),
    };
  }

  /** One block of rows per source with this local number, in the wire dtype. */
  private pack(rows: ExpertRows, local: number): Uint8Array {
    const { hidden, combineDtype } = this.shape;
    const { numRows } = this.counts(rows, local);
    const rowBytes = wireRowBytes(combineDtype, hidden);
    const bytes = new Uint8Array(numRows * rowBytes);
    let at = 0;
    for (let node = 0; node < this.plan.numNodes; node++) {
      const part = rows.bySource[this.plan.rankAt(node, local)];
      if (part === undefined) continue;
      const end = at + part.numRows * rowBytes;
      encodeRows(combineDtype, part, null, part.numRows, hidden, bytes.subarray(at, end));
      at = end;
    }
    return bytes;
  }
}
