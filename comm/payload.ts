/**
 * The payloads of dispatch and combine: pure. n rows, m (row, choice) pairs, H channels, K choices per row.
 * Dispatch: x [n·H] f32, weights [n·K] f32 (only `reduce: 'rank'`), slots [n·K] i16. Combine: rows f32.
 */
import { CommError } from './errors.js';
import { FRAME_HEADER_BYTES, type FrameHeader } from './frame.js';

/** `rank`: the expert's rank multiplies by the gate weights and sums its local experts, one row per (token, rank) returns.
 *  `source`: every expert's row returns unweighted and the source weights and sums in top-k order. */
export type Reduce = 'rank' | 'source';

/** What both ends of an all-to-all must agree on. */
export interface PayloadShape {
  readonly hidden: number;
  readonly numTopk: number;
  readonly slotsPerRank: number;
  readonly reduce: Reduce;
}

/** Views of one dispatch payload. */
export interface DispatchPayload {
  readonly numRows: number;
  /** [n·H] */
  readonly x: Float32Array;
  /** [n·K]; empty with `reduce: 'source'`. */
  readonly weights: Float32Array;
  /** [n·K] */
  readonly slots: Int16Array;
}

/** Bytes on the wire, header included, of one dispatch frame with `numRows` rows. */
export function dispatchBytes(numRows: number, hidden: number, numTopk: number, reduce: Reduce): number {
  const weightBytes = reduce === 'rank' ? 4 * numTopk : 0;
  return FRAME_HEADER_BYTES + numRows * (4 * hidden + weightBytes + 2 * numTopk);
}

/** Bytes on the wire, header included, of one combine frame; `numRows` counts rows for 'rank', (row, choice) pairs for 'source'. */
export function combineBytes(numRows: number, hidden: number): number {
  return FRAME_HEADER_BYTES + numRows * 4 * hidden;
}

/** A zeroed payload of `numRows` rows with its views; `bytes` is what travels. */
export function newDispatchPayload(numRows: number, shape: PayloadShape): DispatchPayload & { bytes: Uint8Array } {
  const bytes = new Uint8Array(dispatchBytes(numRows, shape.hidden, shape.numTopk, shape.reduce) - FRAME_HEADER_BYTES);
  return { bytes, ...viewsOf(bytes, numRows, shape) };
}

/** The views of a received dispatch payload, checked against the own shape. Throws PROTOCOL. */
export function readDispatchPayload(header: FrameHeader, payload: Uint8Array, shape: PayloadShape): DispatchPayload {
  checkHeader(header, shape, dispatchBytes(header.numRows, shape.hidden, shape.numTopk, shape.reduce));
  const views = viewsOf(payload, header.numRows, shape);
  for (let i = 0; i < views.slots.length; i += 1) {
    const slot = views.slots[i]!;
    if (slot < -1 || slot >= shape.slotsPerRank) {
      throw refusal(
        header,
        `slot ${slot} in row ${Math.floor(i / shape.numTopk)}, -1 … ${shape.slotsPerRank - 1} expected`,
      );
    }
  }
  return views;
}

/** The rows of a received combine payload, which must be `numRows`. Throws PROTOCOL. */
export function readCombinePayload(
  header: FrameHeader,
  payload: Uint8Array,
  numRows: number,
  shape: PayloadShape,
): Float32Array {
  if (header.numRows !== numRows) throw refusal(header, `${header.numRows} rows, ${numRows} expected`);
  checkHeader(header, shape, combineBytes(numRows, shape.hidden));
  return new Float32Array(payload.buffer, payload.byteOffset, numRows * shape.hidden);
}

function viewsOf(bytes: Uint8Array, numRows: number, { hidden, numTopk, reduce }: PayloadShape): DispatchPayload {
  const numWeights = reduce === 'rank' ? numRows * numTopk : 0;
  const weightsAt = bytes.byteOffset + 4 * numRows * hidden;
  const slotsAt = weightsAt + 4 * numWeights;
  return {
    numRows,
    x: new Float32Array(bytes.buffer, bytes.byteOffset, numRows * hidden),
    weights: new Float32Array(bytes.buffer, weightsAt, numWeights),
    slots: new Int16Array(bytes.buffer, slotsAt, numRows * numTopk),
  };
}

function checkHeader(header: FrameHeader, shape: PayloadShape, frameBytes: number): void {
  const reduceSource = shape.reduce === 'source' ? 1 : 0;
  if (header.hidden !== shape.hidden) throw refusal(header, `hidden ${header.hidden}, ${shape.hidden} here`);
  if (header.numTopk !== shape.numTopk) throw refusal(header, `numTopk ${header.numTopk}, ${shape.numTopk} here`);
  if (header.reduceSource !== reduceSource) {
    throw refusal(header, `reduceSource ${header.reduceSource}, ${reduceSource} here`);
  }
  const payloadBytes = frameBytes - FRAME_HEADER_BYTES;
  if (header.payloadBytes !== payloadBytes) {
    throw refusal(header, `${header.payloadBytes} payload bytes, ${payloadBytes} expected for ${header.numRows} rows`);
  }
}

function refusal({ source, phase, layer }: FrameHeader, what: string): CommError {
  const message = `rank ${source} sent a ${phase} frame of layer ${layer} with ${what}; give every rank the same model and options`;
  return new CommError('PROTOCOL', message, { rank: source, layer, phase });
}
