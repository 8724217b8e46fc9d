/** The dispatch of a hierarchical route: a token crosses once to every other node, and its relay there forwards it to the experts' ranks. */
import type { FloatRows } from '../../../base/float_rows.js';
import type { Pending } from '../contract/all_to_all_contract.js';
import { staleHandle } from '../contract/all_to_all_check.js';
import type { Exchange } from '../exchange/exchange.js';
import type { Call, Gathered, Round, RoundRows } from '../exchange/round.js';
import type { FrameHeader } from '../../mesh/frame.js';
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
import { dispatchForm, readDispatchPayload, refusal, type ReceivedDispatch } from '../contract/payload.js';
import { FRESH_MEMORY } from '../../mesh/payload_pool.js';
import type { Arrived, ArrivedRows, CachedRoute, RouteShape, Routing } from '../contract/route.js';
import { packDispatch } from '../contract/row_payloads.js';
import { startTwoHops } from './two_hops.js';
import { WireRows } from '../../codec/wire_rows.js';

/** What the way back and cached dispatches need. */
export interface HierarchicalState {
  /** By node: this rank's own tokens that have experts there. */
  readonly nodes: readonly DestinationLayout[];
  /** By source node: what this rank relays for its rank with the same local number; undefined where that is masked. */
  readonly relayed: readonly (RelayedLayout | undefined)[];
}

type Cached = CachedRoute<HierarchicalState> | undefined;

/** What this rank hands on to itself, and all that it relays, by source node. */
interface Forwarded {
  readonly kept: ReceivedDispatch;
  readonly sources: readonly (RelayedRows | undefined)[];
}

/** Every dispatch of one rank; what a call needs is in its arguments. */
export class NodeDispatch {
  constructor(
    private readonly exchange: Exchange,
    private readonly shape: RouteShape,
    private readonly plan: NodePlan,
  ) {}

  /**
   * Sends the first hop now; the hook waits for it and forwards what came.
   * @throws CommError INVALID_ARGUMENT on an expert that no rank has, LIMIT when a frame is too large; then nothing was sent
   */
  start(call: Call, x: FloatRows, routing: Routing, cached: Cached): Pending<Arrived<HierarchicalState>> {
    const startMs = performance.now();
    const { exchange, shape, plan } = this;
    const { memory } = exchange.mesh;
    const isCached = cached !== undefined;
    const nodes = cached?.state.nodes ?? nodeLayoutsOf(routing.topkIdx, shape, plan.numNodes);
    // 1. Each token crosses once to every other node that has experts of it.
    const first: Round<RelayedRows> = {
      ...call,
      startMs,
      phase: 'dispatch_node',
      form: dispatchForm(shape, { isCached }),
      peers: plan.relays(exchange.peers),
      countsOf: (to) => ({ numRows: nodes[plan.nodeOf(to)]!.rows.length }),
      pack: (relay) => {
        const layout = nodes[plan.nodeOf(relay)]!;
        const { bytes: payload } = packDispatch(x, routing.topkWeights, layout, shape, { isCached, memory });
        return { payload, isOwn: true };
      },
      keep: () => this.keep(x, routing, nodes[plan.node]!, cached),
    };
    exchange.check(first);
    return startTwoHops(exchange, {
      first,
      // 2. What came from other nodes goes on inside this one, with the own rows.
      second: { phase: 'dispatch', form: dispatchForm(shape, { isCached, numSources: plan.numNodes }) },
      nextPeers: () => plan.onNode(exchange.peers),
      relay: (gathered) => this.forward(gathered, cached),
      // 3. The other ranks of this node forward what they have for this one.
      finish: ({ own: { kept, sources }, frames }) => {
        const bySource = this.bySource(kept, frames, cached);
        return { bySource, state: { nodes, relayed: sources.map((source) => source?.layout) } };
      },
      failure: (failed) => {
        const node = plan.localOf(failed) === plan.local ? plan.nodeOf(failed) : plan.node;
        return packFailedDispatch(plan.numNodes, node);
      },
    });
  }

  /** The own tokens with experts on this node, encoded like those that other nodes send. */
  private keep(x: FloatRows, { topkWeights }: Routing, layout: DestinationLayout, cached: Cached): RelayedRows {
    const { hidden, dispatchDtype } = this.shape;
    const options = { isCached: cached !== undefined, memory: FRESH_MEMORY };
    const { rows, weights } = packDispatch(x, topkWeights, layout, this.shape, options);
    const relayed = cached?.state.relayed[this.plan.node] ?? relayedLayoutOf(layout.slots, this.shape);
    return { layout: relayed, rows: new WireRows(dispatchDtype, hidden, rows), weights };
  }

  /** What goes on to the ranks of this node. @throws CommError PROTOCOL when a node sent what this one can't read. */
  private forward({ own, frames }: Gathered<RelayedRows>, cached: Cached): RoundRows<Forwarded> {
    const { exchange, shape, plan } = this;
    const { memory } = exchange.mesh;
    const isCached = cached !== undefined;
    const sources = plan.byNode((node) => (node === plan.node ? own : undefined));
    for (const frame of frames) sources[plan.nodeOf(frame.header.source)] = this.unpack(frame, cached);
    const numRowsFor = (local: number): number =>
      sources.reduce((sum, source) => sum + (source?.layout.byLocal[local]!.rows.length ?? 0), 0);
    return {
      countsOf: (to) => ({ numRows: numRowsFor(plan.localOf(to)) }),
      pack: (mate) => {
        const { bytes: payload } = packForwarded(sources, plan.localOf(mate), shape, { isCached, memory });
        return { payload, isOwn: true };
      },
      keep: () => {
        const kept = packForwarded(sources, plan.local, shape, { isCached, memory: FRESH_MEMORY });
        return { kept, sources };
      },
    };
  }

  private unpack({ header, payload }: Frame, cached: Cached): RelayedRows {
    const { hidden, dispatchDtype, slotsPerRank, ranksPerNode } = this.shape;
    const nodeShape = { ...this.shape, slotsPerRank: slotsPerRank * ranksPerNode };
    const kind = { isCached: cached !== undefined };
    const { numRows, rows, weights, slots } = readDispatchPayload(header, payload, nodeShape, kind);
    const layout =
      cached === undefined ? relayedLayoutOf(slots, this.shape) : cached.state.relayed[this.plan.nodeOf(header.source)];
    if (layout === undefined) throw staleHandle(header.source);
    const numKnown = layout.whole.rows.length;
    if (numKnown !== numRows) {
      const what = cached === undefined ? `${numKnown} of them with a slot` : `for a cached handle of ${numKnown}`;
      throw refusal(header, `${numRows} rows, ${what}`);
    }
    return { layout, rows: new WireRows(dispatchDtype, hidden, rows), weights };
  }

  private bySource(kept: ReceivedDispatch, frames: readonly Frame[], cached: Cached): (ArrivedRows | undefined)[] {
    const { shape, plan } = this;
    const bySource = new Array<ArrivedRows | undefined>(this.exchange.mesh.size).fill(undefined);
    const put = (received: ReceivedDispatch, local: number, header?: FrameHeader): void => {
      for (const [node, part] of arrivedBySourceNode(received, shape).entries()) {
        const source = plan.rankAt(node, local);
        const known = cached?.bySource[source];
        if (part === undefined) continue;
        if (cached !== undefined && header !== undefined) checkKnown(header, source, part, known);
        bySource[source] = known === undefined ? part : { ...part, slots: known.slots, weights: known.weights };
      }
    };
    put(kept, plan.local);
    for (const { header, payload } of frames) {
      const local = plan.localOf(header.source);
      const sources = plan.byNode((node) => plan.rankAt(node, local));
      put(readForwarded(header, payload, shape, { isCached: cached !== undefined, sources }), local, header);
    }
    return bySource;
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
