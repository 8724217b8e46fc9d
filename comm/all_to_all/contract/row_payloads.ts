/** Rows of this rank as they travel, and rows that came: what every route does alike. n rows, H channels, K choices. */
import type { FramePayload } from '../exchange/round.js';
import type { DestinationLayout } from './layout.js';
import { newDispatchPayload, type OutgoingDispatch, type PayloadShape } from './payload.js';
import { leaseFloats, type LeasedFloats, type PayloadMemory } from '../../mesh/payload_pool.js';
import { decodeRows, encodeRows, roundTripRows, wireRowBytes } from '../../codec/wire_dtype.js';

/** How a dispatch payload is made: in which memory, and without routing where the peer knows it. */
export interface PackOptions {
  readonly isCached: boolean;
  readonly memory: PayloadMemory;
}

/** The rows of `x` [T·H] for one destination. */
export function packDispatch(
  x: Float32Array,
  topkWeights: Float32Array,
  { rows, slots }: DestinationLayout,
  shape: PayloadShape,
  { isCached, memory }: PackOptions,
): OutgoingDispatch {
  const payload = newDispatchPayload(rows.length, shape, isCached ? null : slots, memory);
  encodeRows(shape.dispatchDtype, x, rows, rows.length, shape.hidden, payload.rows);
  fillWeights(payload.weights, topkWeights, rows, slots, shape.numTopk);
  return payload;
}

/** weights [n·K] of the rows; 0 where a choice lives elsewhere. Where no weights travel there are none to fill. */
export function fillWeights(
  weights: Float32Array,
  topkWeights: Float32Array,
  rows: Int32Array,
  slots: Int16Array,
  numTopk: number,
): void {
  for (let n = 0, i = 0; i < weights.length; n++) {
    const from = rows[n]! * numTopk;
    for (let k = 0; k < numTopk; k++, i++) weights[i] = slots[i] === -1 ? 0 : topkWeights[from + k]!;
  }
}

/** Experts' rows [n·H] as they travel: themselves where they are float32, else in `memory`. */
export function encodedRows(
  rows: Float32Array,
  { hidden, combineDtype }: PayloadShape,
  memory: PayloadMemory,
): FramePayload {
  if (combineDtype === 'f32') return { payload: new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength) };
  const numRows = rows.length / hidden;
  const payload = memory.allocate(numRows * wireRowBytes(combineDtype, hidden));
  encodeRows(combineDtype, rows, null, numRows, hidden, payload);
  return { payload, isOwn: true };
}

/** Experts' rows [n·H] that came, from bytes that are aligned where they are float32: a view then, else in `memory`. */
export function decodedRows(
  bytes: Uint8Array,
  numRows: number,
  { hidden, combineDtype }: PayloadShape,
  memory: PayloadMemory,
): LeasedFloats {
  if (combineDtype === 'f32') {
    return { floats: new Float32Array(bytes.buffer, bytes.byteOffset, numRows * hidden), release: () => undefined };
  }
  const rows = leaseFloats(memory, numRows * hidden);
  decodeRows(combineDtype, bytes, numRows, hidden, rows.floats, 0);
  return rows;
}

/** Experts' rows [n·H] as if they had travelled: themselves where they are float32, else in `memory`. */
export function roundedRows(
  rows: Float32Array,
  { hidden, combineDtype }: PayloadShape,
  memory: PayloadMemory,
): LeasedFloats {
  if (combineDtype === 'f32') return { floats: rows, release: () => undefined };
  const rounded = leaseFloats(memory, rows.length);
  roundTripRows(combineDtype, rows, null, rows.length / hidden, hidden, rounded.floats, 0);
  return rounded;
}
