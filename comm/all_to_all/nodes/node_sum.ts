/** What a relay makes of its node's rows for one source: pure. R ranks per node, n rows of the source, H channels. */
import { floatRows } from '../../../base/float_rows.js';
import { sumRanks } from '../contract/combine_sum.js';
import type { DestinationLayout } from '../contract/layout.js';
import type { RelayedLayout } from './node_layout.js';
import { numOwed } from './node_payload.js';
import type { RouteShape } from '../contract/route.js';
import { ownRows, travelledRows, type RowSource } from '../../codec/row_source.js';
import { encodeRows, roundTripRows, wireRowBytes } from '../../codec/wire_dtype.js';
import { WireRows } from '../../codec/wire_rows.js';

/** The rows of one source that its relay's node returned. */
export interface NodeReturns {
  readonly relayed: RelayedLayout;
  /** `relayed.whole` without the ranks whose rows are missing. */
  readonly kept: DestinationLayout;
  /** By local rank, in the wire dtype; undefined where missing. */
  readonly byLocal: readonly (Uint8Array | undefined)[];
}

/** Rows for a source on another node, one per row of `kept` or, with `reduce: 'source'`, per choice of it; in the wire dtype. */
export function encodedNodeRows(returns: NodeReturns, shape: RouteShape): Uint8Array {
  if (!isSummed(shape)) return mergedRows(returns, shape);
  const { hidden, combineDtype } = shape;
  const { rows } = returns.kept;
  const bytes = new Uint8Array(rows.length * wireRowBytes(combineDtype, hidden));
  encodeRows(combineDtype, nodeSum(returns, shape), rows, rows.length, hidden, bytes);
  return bytes;
}

/** The same for the own rank. Sums are rounded as if they had travelled, where others travel between nodes. */
export function ownNodeRows(returns: NodeReturns, shape: RouteShape, numNodes: number): RowSource {
  const { kept } = returns;
  const { combineDtype, hidden } = shape;
  if (!isSummed(shape)) return travelledRows(combineDtype, mergedRows(returns, shape), numOwed(kept, shape), hidden);
  const sum = nodeSum(returns, shape);
  const rows = new Float32Array(kept.rows.length * hidden);
  roundTripRows(numNodes === 1 ? 'f32' : combineDtype, sum, kept.rows, kept.rows.length, hidden, rows, 0);
  return ownRows('f32', floatRows(rows, hidden));
}

/** A single rank has nothing to add: its rows go on as they are, like all of `reduce: 'source'`, and aren't rounded again. */
function isSummed({ reduce, ranksPerNode }: RouteShape): boolean {
  return reduce === 'rank' && ranksPerNode > 1;
}

/** [n·H] sums over the node's ranks, ascending. */
function nodeSum({ relayed, byLocal }: NodeReturns, shape: RouteShape): Float32Array {
  const { byLocal: layouts, whole } = relayed;
  const { combineDtype, hidden, ranksPerNode } = shape;
  const rows = byLocal.map(
    (bytes, local) => bytes && travelledRows(combineDtype, bytes, layouts[local]!.rows.length, hidden),
  );
  const sum = new Float32Array(whole.rows.length * hidden);
  sumRanks(rows, layouts, whole.rows.length, ranksPerNode, floatRows(sum, hidden));
  return sum;
}

/** The choices' rows of all ranks, by row, then choice. */
function mergedRows({ kept, byLocal }: NodeReturns, shape: RouteShape): Uint8Array {
  if (shape.ranksPerNode === 1) return byLocal[0]!;
  const { hidden, combineDtype, slotsPerRank } = shape;
  const rowBytes = wireRowBytes(combineDtype, hidden);
  const merged = new WireRows(combineDtype, hidden, new Uint8Array(kept.numPairs * rowBytes));
  const returned = byLocal.map((bytes) => bytes && new WireRows(combineDtype, hidden, bytes));
  const taken = new Int32Array(returned.length);
  let pair = 0;
  for (const slot of kept.slots) {
    if (slot < 0) continue;
    const local = Math.floor(slot / slotsPerRank);
    merged.copy(returned[local]!, taken[local]!, pair, 1);
    taken[local]!++;
    pair++;
  }
  return merged.bytes;
}
