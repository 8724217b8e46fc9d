/**
 * For ranks on several nodes: a token crosses once to every other node that has experts of it, to the rank there with the source's
 * local number, its relay, and is forwarded inside that node; results come back the same way. One frame per pair of ranks and hop.
 */
import type { FloatRows } from '../../../base/float_rows.js';
import type { Pending } from '../contract/all_to_all_contract.js';
import type { Exchange } from '../exchange/exchange.js';
import type { Call } from '../exchange/round.js';
import { NodeCombine } from './node_combine.js';
import { NodeDispatch, type HierarchicalState } from './node_dispatch.js';
import { NodePlan } from './node_layout.js';
import type {
  Arrived,
  CachedRoute,
  DispatchedRows,
  ExpertRows,
  Route,
  RouteShape,
  Routing,
} from '../contract/route.js';

/** The route with two hops, each direction in a class of its own. */
export class HierarchicalRoute implements Route<HierarchicalState> {
  private readonly dispatch: NodeDispatch;
  private readonly combine: NodeCombine;

  constructor(exchange: Exchange, shape: RouteShape) {
    const { rank, size } = exchange.mesh;
    const plan = new NodePlan(rank, size, shape.ranksPerNode);
    this.dispatch = new NodeDispatch(exchange, shape, plan);
    this.combine = new NodeCombine(exchange, shape, plan);
  }

  /** Sends the rows of `x` [T·H] to the relays on other nodes; the hook forwards what comes inside this node. */
  startDispatch(
    call: Call,
    x: FloatRows,
    routing: Routing,
    cached: CachedRoute<HierarchicalState> | undefined,
  ): Pending<Arrived<HierarchicalState>> {
    return this.dispatch.start(call, x, routing, cached);
  }

  /** Sends the experts' rows back to their relays; the hook sends each node's rows home and sums those that come to y [T·H]. */
  startCombine(
    call: Call,
    rows: ExpertRows,
    dispatched: DispatchedRows<HierarchicalState>,
    y: FloatRows,
  ): Pending<void> {
    return this.combine.start(call, rows, dispatched, y);
  }
}
