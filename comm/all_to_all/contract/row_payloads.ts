/** Rows of this rank as they travel, and rows that came: what every route does alike. n rows, H channels, K choices. */
import type { FloatRows } from '../../../base/float_rows.js';
import type { FramePayload } from '../exchange/round.js';
import type { DestinationLayout } from './layout.js';
import { canStream, RowStream } from './row_stream.js';
import { newDispatchPayload, type OutgoingDispatch, type PayloadShape } from './payload.js';
import { releaseOnce, type PayloadMemory } from '../../mesh/payload_pool.js';
import { ownRows, travelledRows, type RowSource } from '../../codec/row_source.js';
import { encodeRows, wireRowBytes } from '../../codec/wire_dtype.js';

/** How a dispatch payload is made: in which memory, and without routing where the peer knows it. */
export interface PackOptions {
  readonly isCached: boolean;
  readonly memory: PayloadMemory;
  /** The rows stay as they are until they have left. Default false. */
  readonly isLent?: boolean;
}

/** The rows of `x` [T·H] for one destination. */
export function packDispatch(
  x: FloatRows,
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

/** The same as it is sent: large ones leave from where they are, or are made while they leave, of `x` as it is then. */
export function sentDispatch(
  x: FloatRows,
  topkWeights: Float32Array,
  layout: DestinationLayout,
  shape: PayloadShape,
  options: PackOptions,
): FramePayload {
  const { rows, slots } = layout;
  const { dispatchDtype: dtype, hidden, numTopk, reduce } = shape;
  const { memory, isCached, isLent = false } = options;
  if (!canStream(dtype, rows.length, hidden)) {
    return { payload: packDispatch(x, topkWeights, layout, shape, options).bytes, isOwn: true };
  }
  const weights = new Float32Array(!isCached && reduce === 'rank' ? rows.length * numTopk : 0);
  fillWeights(weights, topkWeights, rows, slots, numTopk);
  const tail = isCached ? NO_BYTES : bytesOf(slots);
  const runs = isLent && dtype === 'f32' ? runsOf(x, rows) : undefined;
  if (runs !== undefined) return { parts: [bytesOf(weights), ...runs, tail] };
  return { stream: new RowStream({ dtype, x, rows, numRows: rows.length }, bytesOf(weights), tail, memory) };
}

/** Shorter parts take longer to write than to copy. */
const MIN_RUN_BYTES = 64 * 1024;

/** The rows where they are, as few parts; undefined where they are scattered. */
function runsOf(x: FloatRows, rows: Int32Array): Uint8Array[] | undefined {
  const { hidden, stride } = x;
  if (stride !== hidden) return undefined;
  const most = (rows.length * 4 * hidden) / MIN_RUN_BYTES;
  const floats = x.view();
  const runs: Uint8Array[] = [];
  for (let start = 0; start < rows.length;) {
    let end = start + 1;
    while (end < rows.length && rows[end] === rows[end - 1]! + 1) end++;
    if (runs.length >= most) return undefined;
    runs.push(bytesOf(floats.subarray(rows[start]! * hidden, (rows[end - 1]! + 1) * hidden)));
    start = end;
  }
  return runs;
}

const NO_BYTES = new Uint8Array(0);

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Int16Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

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

/** Experts' rows [n·H] as they travel: themselves where they are an array of float32, else in `memory`. */
export function encodedRows(
  rows: FloatRows,
  isArray: boolean,
  { hidden, combineDtype }: PayloadShape,
  memory: PayloadMemory,
): FramePayload {
  const { numRows } = rows;
  if (combineDtype === 'f32' && isArray) {
    const view = rows.view();
    return { payload: new Uint8Array(view.buffer, view.byteOffset, 4 * numRows * hidden) };
  }
  // An array that is not float32 on the wire may change when this returned.
  if (!isArray && canStream(combineDtype, numRows, hidden)) {
    const all = { dtype: combineDtype, x: rows, rows: null, numRows };
    return { stream: new RowStream(all, NO_BYTES, NO_BYTES, memory) };
  }
  const payload = memory.allocate(numRows * wireRowBytes(combineDtype, hidden));
  encodeRows(combineDtype, rows, null, numRows, hidden, payload);
  return { payload, isOwn: true };
}

/** Rows that are summed at the end of a combine. */
export interface KeptRows {
  /** Asked for when they are summed. */
  readonly source: () => RowSource;
  readonly release?: (() => void) | undefined;
}

/** The experts' rows [n·H] of this rank for itself, as if they had travelled: where they are, unless they may change until then. */
export function keptRows(rows: FloatRows, isArray: boolean, shape: PayloadShape, memory: PayloadMemory): KeptRows {
  const { hidden, combineDtype } = shape;
  if (combineDtype === 'f32' || !isArray) return { source: () => ownRows(combineDtype, rows) };
  const bytes = memory.allocate(rows.numRows * wireRowBytes(combineDtype, hidden));
  encodeRows(combineDtype, rows, null, rows.numRows, hidden, bytes);
  return {
    source: () => travelledRows(combineDtype, bytes, rows.numRows, hidden),
    release: releaseOnce(memory, bytes),
  };
}
