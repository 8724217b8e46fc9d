/**
 * The low-latency mode's dispatch payload: pure. n rows by slot, then source row; each slot's rows are encoded as one block in the wire dtype.
 * Behind them slots [n] i16, ascending. A combine payload is the normal mode's: n rows in the same order, one block.
 */
import type { Frame } from '../../mesh/mesh.js';
import {
  dispatchBytes,
  newDispatchPayload,
  readDispatchPayload,
  refusal,
  type PayloadShape,
} from '../contract/payload.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import { countsTo, numRowsTo, type PackedLayout } from './packed_layout.js';
import type { WireCodec } from '../../codec/wire_codec.js';
import { decodeRows, encodeRows, wireRowBytes, type WireDtype } from '../../codec/wire_dtype.js';

/** Bytes on the wire, header included, of one low-latency dispatch frame: 40 + n·(row bytes + 2). Its combine: `combineBytes`. */
export function lowLatencyDispatchBytes(
  numRows: number,
  hidden: number,
  dtype: WireDtype | Pick<WireCodec, 'rowBytes'> = 'f32',
): number {
  return dispatchBytes(numRows, { hidden, numTopk: 1, reduce: 'source', dtype });
}

/** The payload shape of low-latency frames: one slot per row, whatever the number of choices. */
export function packedShapeOf(shape: Omit<PayloadShape, 'numTopk' | 'reduce' | 'isLowLatency'>): PayloadShape {
  return { ...shape, numTopk: 1, reduce: 'source', isLowLatency: true };
}

/** The rows of one source for one destination. */
export interface PackedRows {
  /** [S] rows per slot. */
  readonly counts: Int32Array;
  /** The blocks of all slots. */
  readonly blocks: Uint8Array;
}

/** In `memory`, the rows of x [T·H] for `rank`; `payload` is what travels. */
export function packRows(
  x: Float32Array,
  layout: PackedLayout,
  rank: number,
  shape: PayloadShape,
  memory: PayloadMemory,
): PackedRows & { readonly payload: Uint8Array<ArrayBuffer> } {
  const { hidden, slotsPerRank, dispatchDtype } = shape;
  const { rows, start } = layout;
  const counts = countsTo(layout, rank, slotsPerRank);
  const first = rank * slotsPerRank;
  const numRows = numRowsTo(layout, rank, slotsPerRank);
  const slots = new Int16Array(numRows);
  for (let slot = 0; slot < slotsPerRank; slot++) {
    slots.fill(slot, start[first + slot]! - start[first]!, start[first + slot + 1]! - start[first]!);
  }
  const { bytes, rows: blocks } = newDispatchPayload(numRows, shape, slots, memory);
  forEachBlock(counts, blocks, shape, (block, slot, count) => {
    const from = start[first + slot]!;
    encodeRows(dispatchDtype, x, rows.subarray(from, from + count), count, hidden, block);
  });
  return { counts, blocks, payload: bytes };
}

/** The parts of a received frame. @throws CommError PROTOCOL when it isn't of this shape or has more than `maxTokens` rows for a slot. */
export function readPackedRows({ header, payload }: Frame, shape: PayloadShape, maxTokens: number): PackedRows {
  const { slots, rows: blocks } = readDispatchPayload(header, payload, shape);
  const counts = new Int32Array(shape.slotsPerRank);
  for (let n = 0; n < slots.length; n++) {
    const slot = slots[n]!;
    const before = n === 0 ? 0 : slots[n - 1]!;
    if (slot < before) throw refusal(header, `slot ${slot} after ${before} in row ${n}, ascending ones expected`);
    counts[slot]!++;
    if (counts[slot]! > maxTokens)
      throw refusal(header, `more than maxTokensPerRank ${maxTokens} rows for slot ${slot}`);
  }
  return { counts, blocks };
}

/** Decodes rows into `recvX`; those of slot s begin at row `rowStartOf(s)`. */
export function unpackRows(
  { counts, blocks }: PackedRows,
  recvX: Float32Array,
  rowStartOf: (slot: number) => number,
  shape: PayloadShape,
): void {
  forEachBlock(counts, blocks, shape, (block, slot, count) => {
    decodeRows(shape.dispatchDtype, block, count, shape.hidden, recvX, rowStartOf(slot));
  });
}

function forEachBlock(
  counts: Int32Array,
  blocks: Uint8Array,
  { dispatchDtype, hidden }: PayloadShape,
  visit: (block: Uint8Array, slot: number, count: number) => void,
): void {
  const rowBytes = wireRowBytes(dispatchDtype, hidden);
  let at = 0;
  for (const [slot, count] of counts.entries()) {
    if (count > 0) visit(blocks.subarray(at, (at += count * rowBytes)), slot, count);
  }
}
