/**
 * The payloads that only a hierarchical route has: pure. N nodes of R ranks; n rows, H channels, K choices.
 * Dispatch between nodes is the flat one with the node's slots. Inside a node, the rows of N sources travel in one payload:
 * counts [N] u32, weights [n·K], one block of rows per source, slots [n·K]. Combine inside a node: one block of rows per source.
 * Combine between nodes: rows, then [R] u8 what became of each of the node's ranks.
 */
import { CommError } from '../../base/errors.js';
import type { FrameHeader } from '../../mesh/frame.js';
import type { Rank } from '../../../base/ids.js';
import type { DestinationLayout } from '../contract/layout.js';
import type { RelayedLayout } from './node_layout.js';
import {
  checkHeader,
  combineForm,
  newDispatchPayload,
  readDispatchPayload,
  refusal,
  type PayloadShape,
  type ReceivedDispatch,
} from '../contract/payload.js';
import type { ArrivedRows, RouteShape } from '../contract/route.js';
import { fillWeights, type PackOptions } from '../contract/row_payloads.js';
import { decodeRows, wireRowBytes } from '../../codec/wire_dtype.js';
import { WireRows } from '../../codec/wire_rows.js';

/** A count of rows that don't come, because the sender masks their source. */
const MISSING_COUNT = 0xffffffff;
/** A count that says why the sender gives the call up: the source failed. */
const FAILED_COUNT = 0xfffffffe;

/** What became of one rank of a node. */
export const RETURNED = 0;
export const MISSING = 1;
export const FAILED = 2;

/** The rows of one source on a relay. */
export interface RelayedRows {
  readonly layout: RelayedLayout;
  /** [n] in the wire dtype. */
  readonly rows: WireRows;
  /** [n·K]; empty with `reduce: 'source'` and cached handles. */
  readonly weights: Float32Array;
}

/** A payload to forward; `bytes` is what travels, the others are its parts. */
export interface ForwardedDispatch extends ReceivedDispatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** What goes to one local rank, by source node; undefined where a masked source sent none. */
export function packForwarded(
  sources: readonly (RelayedRows | undefined)[],
  local: number,
  shape: PayloadShape,
  { isCached, memory }: PackOptions,
): ForwardedDispatch {
  const { hidden, numTopk, dispatchDtype } = shape;
  const layouts = sources.map((source) => source?.layout.byLocal[local]);
  const counts = Uint32Array.from(layouts, (layout) => layout?.rows.length ?? MISSING_COUNT);
  const numRows = layouts.reduce((sum, layout) => sum + (layout?.rows.length ?? 0), 0);
  const slots = joinedSlots(isCached ? [] : layouts, numRows * numTopk);
  const payload = newDispatchPayload(numRows, shape, isCached ? null : slots, memory, counts);
  const rowBytes = wireRowBytes(dispatchDtype, hidden);
  let row = 0;
  for (const [node, layout] of layouts.entries()) {
    const source = sources[node];
    if (layout === undefined || source === undefined) continue;
    const end = row + layout.rows.length;
    const block = payload.rows.subarray(row * rowBytes, end * rowBytes);
    new WireRows(dispatchDtype, hidden, block).gather(source.rows, layout.rows);
    const weights = payload.weights.subarray(row * numTopk, end * numTopk);
    fillWeights(weights, source.weights, layout.rows, layout.slots, numTopk);
    row = end;
  }
  return { ...payload, numRows, counts, slots };
}

/** Tells a local rank that nothing comes, because the source of this node failed. */
export function packFailedDispatch(numNodes: number, node: number): Uint8Array {
  const counts = new Uint32Array(numNodes).fill(MISSING_COUNT);
  counts[node] = FAILED_COUNT;
  return new Uint8Array(counts.buffer);
}

/** What another rank of the node forwarded. @throws CommError PROTOCOL when it can't be, PEER_FAILED when it tells that one of `sources` failed. */
export function readForwarded(
  header: FrameHeader,
  payload: Uint8Array,
  shape: PayloadShape,
  { isCached, sources }: { readonly isCached: boolean; readonly sources: readonly Rank[] },
): ReceivedDispatch {
  const received = readDispatchPayload(header, payload, shape, { isCached, numSources: sources.length });
  const failed = sources[received.counts.indexOf(FAILED_COUNT)];
  if (failed !== undefined) throw failureOf(header, failed);
  if (received.counts[sources.indexOf(header.source)] === MISSING_COUNT) throw refusal(header, 'no rows of its own');
  const numRows = received.counts.reduce((sum, count) => sum + (count === MISSING_COUNT ? 0 : count), 0);
  if (numRows !== header.numRows) throw refusal(header, `${header.numRows} rows, its counts add up to ${numRows}`);
  return received;
}

/** By source node; undefined where the count says missing. */
export function arrivedBySourceNode(received: ReceivedDispatch, shape: PayloadShape): (ArrivedRows | undefined)[] {
  const { hidden, numTopk, dispatchDtype, reduce } = shape;
  const { counts, weights, slots, rows } = received;
  const rowBytes = wireRowBytes(dispatchDtype, hidden);
  let row = 0;
  return Array.from(counts, (numRows) => {
    if (numRows === MISSING_COUNT) return undefined;
    const [from, to] = [row, (row += numRows)];
    const block = rows.subarray(from * rowBytes, to * rowBytes);
    return {
      numRows,
      slots: slots.subarray(from * numTopk, to * numTopk),
      weights: reduce === 'rank' ? weights.subarray(from * numTopk, to * numTopk) : weights,
      copyTo: (target, rowStart) => decodeRows(dispatchDtype, block, numRows, hidden, target, rowStart),
    };
  });
}

/** Rows that one rank owes a source: one per token, or one per choice. */
export function numOwed({ rows, numPairs }: DestinationLayout, { reduce }: PayloadShape): number {
  return reduce === 'rank' ? rows.length : numPairs;
}

/** The rows that a local rank returned, cut by source node. */
export function splitReturned(
  bytes: Uint8Array,
  layouts: readonly (DestinationLayout | undefined)[],
  shape: PayloadShape,
): (Uint8Array | undefined)[] {
  const rowBytes = wireRowBytes(shape.combineDtype, shape.hidden);
  let at = 0;
  return layouts.map((layout) =>
    layout === undefined ? undefined : bytes.subarray(at, (at += numOwed(layout, shape) * rowBytes)),
  );
}

/** A node's rows for one source; `states` [R] tells what became of each of its ranks. */
export function packNodeRows(rows: Uint8Array, states: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(rows.byteLength + states.byteLength);
  bytes.set(rows);
  bytes.set(states, rows.byteLength);
  return bytes;
}

/**
 * A node's rows for this rank, not yet compared with what it sent there.
 * @throws CommError PROTOCOL when they can't be, PEER_FAILED when a rank there failed
 */
export function readNodeRows(
  header: FrameHeader,
  payload: Uint8Array,
  shape: RouteShape,
  ranks: readonly Rank[],
): { readonly rows: Uint8Array; readonly states: Uint8Array } {
  checkHeader(header, combineForm(shape, { ranksPerNode: ranks.length }));
  const statesAt = payload.byteLength - ranks.length;
  const states = payload.subarray(statesAt);
  const failed = ranks[states.indexOf(FAILED)];
  if (failed !== undefined) throw failureOf(header, failed);
  const unknown = states.find((state) => state !== RETURNED && state !== MISSING);
  if (unknown !== undefined) throw refusal(header, `state ${unknown} of a rank, ${RETURNED} … ${FAILED} expected`);
  if (states[ranks.indexOf(header.source)] !== RETURNED) throw refusal(header, 'no rows of its own');
  return { rows: payload.subarray(0, statesAt), states };
}

function joinedSlots(layouts: readonly (DestinationLayout | undefined)[], length: number): Int16Array {
  const slots = new Int16Array(layouts.length === 0 ? 0 : length);
  let at = 0;
  for (const layout of layouts) {
    if (layout === undefined) continue;
    slots.set(layout.slots, at);
    at += layout.slots.length;
  }
  return slots;
}

function failureOf({ source, phase, layer }: FrameHeader, failed: Rank): CommError {
  const who = failed === source ? 'by a failure of its own' : `because rank ${failed} failed`;
  const message = `rank ${source} gave up ${phase} of layer ${layer} ${who}; look at the logs of ranks ${source} and ${failed}`;
  return new CommError('PEER_FAILED', message, { rank: failed, layer, phase });
}
