/**
 * The payloads of dispatch and combine: pure. n rows, m (row, choice) pairs, H channels, K choices per row.
 * Dispatch: weights [n·K] f32 (only `reduce: 'rank'`), rows [n] in the wire dtype, slots [n·K] i16; only the rows with a cached handle.
 * Rows of several sources, forwarded inside a node, follow a count per source, u32.
 * Combine: rows in the wire dtype.
 */
import { CommError } from '../../base/errors.js';
import type { FrameForm } from '../exchange/round.js';
import { FRAME_FLAGS, FRAME_HEADER_BYTES, type FrameDtype, type FrameHeader } from '../../mesh/frame.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import type { WireCodec } from '../../codec/wire_codec.js';
import { wireRowBytes, type WireDtype, type WireForm } from '../../codec/wire_dtype.js';
import type { Reduce } from '../../../base/received_rows.js';

/** What both ends of an all-to-all must agree on. */
export interface PayloadShape {
  readonly hidden: number;
  readonly numTopk: number;
  readonly slotsPerRank: number;
  readonly reduce: Reduce;
  readonly dispatchDtype: WireForm;
  readonly combineDtype: WireForm;
  /** One row per (token, expert) travels. Default false. */
  readonly isLowLatency?: boolean;
}

/** What says how many bytes a row takes. */
type SizedRows = WireDtype | Pick<WireCodec, 'rowBytes'>;

/** What the size of a dispatch frame depends on. */
export interface DispatchSize {
  readonly hidden: number;
  readonly numTopk: number;
  readonly reduce: Reduce;
  /** Default 'f32'. */
  readonly dtype?: SizedRows;
  /** No routing travels. Default false. */
  readonly isCached?: boolean;
  /** Sources whose rows one frame forwards inside a node, each with a count: as many as nodes. Default 0: the sender's own rows alone. */
  readonly numSources?: number;
}

/** Which dispatch it is; as in {@link DispatchSize}. */
export type DispatchKind = Pick<DispatchSize, 'isCached' | 'numSources'>;

/** Bytes on the wire, header included, of one dispatch frame with `numRows` rows. */
export function dispatchBytes(
  numRows: number,
  { hidden, numTopk, reduce, dtype = 'f32', isCached, numSources = 0 }: DispatchSize,
): number {
  const routingBytes = isCached === true ? 0 : numTopk * (reduce === 'rank' ? 4 + 2 : 2);
  return FRAME_HEADER_BYTES + 4 * numSources + numRows * (wireRowBytes(dtype, hidden) + routingBytes);
}

/**
 * Bytes on the wire, header included, of one combine frame; `numRows` counts rows for 'rank', (row, choice) pairs for 'source'.
 * `ranksPerNode`: of a frame between nodes, which tells of every rank of its node whether its rows are in; 0 for every other frame.
 */
export function combineBytes(numRows: number, hidden: number, dtype: SizedRows = 'f32', ranksPerNode = 0): number {
  return FRAME_HEADER_BYTES + numRows * wireRowBytes(dtype, hidden) + ranksPerNode;
}

/** One dispatch payload to write; `bytes` is what travels, the others are views or the parts to fill. */
export interface OutgoingDispatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** [n·K]; empty with `reduce: 'source'` and cached handles. */
  readonly weights: Float32Array;
  /** [n] rows in the wire dtype. */
  readonly rows: Uint8Array;
}

/**
 * A payload in `memory` of rows with these slots [n·K], or without routing where they are null (a cached handle); weights and rows are for the caller to fill.
 * `counts`: rows per source, where it forwards those of several.
 */
export function newDispatchPayload(
  numRows: number,
  { hidden, numTopk, reduce, dispatchDtype }: PayloadShape,
  slots: Int16Array | null,
  memory: PayloadMemory,
  counts = NO_COUNTS,
): OutgoingDispatch {
  const numWeights = slots !== null && reduce === 'rank' ? numRows * numTopk : 0;
  const weightsAt = counts.byteLength;
  const rowsAt = weightsAt + 4 * numWeights;
  const slotsAt = rowsAt + numRows * wireRowBytes(dispatchDtype, hidden);
  const bytes = memory.allocate(slotsAt + (slots?.byteLength ?? 0));
  if (counts.length > 0) new Uint32Array(bytes.buffer, bytes.byteOffset, counts.length).set(counts);
  if (slots !== null) writeSlots(slots, bytes, slotsAt);
  return {
    bytes,
    weights: new Float32Array(bytes.buffer, bytes.byteOffset + weightsAt, numWeights),
    rows: bytes.subarray(rowsAt, slotsAt),
  };
}

const NO_COUNTS = new Uint32Array(0);

/** Behind rows of one byte per channel they may be unaligned. Bytes of a small array are asked for only then: it gets memory of its own for that. */
function writeSlots(slots: Int16Array, bytes: Uint8Array, at: number): void {
  const start = bytes.byteOffset + at;
  if (start % 2 === 0) new Int16Array(bytes.buffer, start, slots.length).set(slots);
  else bytes.set(new Uint8Array(slots.buffer, slots.byteOffset, slots.byteLength), at);
}

/** A copy of the slots that a payload ends with. */
function slotsIn(payload: Uint8Array, at: number): Int16Array {
  const start = payload.byteOffset + at;
  if (start % 2 !== 0) return new Int16Array(new Uint8Array(payload.subarray(at)).buffer);
  return new Int16Array(payload.buffer, start, (payload.byteLength - at) / 2).slice();
}

/** The parts of one received dispatch payload. */
export interface ReceivedDispatch {
  readonly numRows: number;
  /** Rows per source, as the sender wrote them; empty unless it forwards those of several. */
  readonly counts: Uint32Array;
  /** [n] in the wire dtype, 4-byte aligned. */
  readonly rows: Uint8Array;
  /** [n·K]; empty with `reduce: 'source'` and cached handles. */
  readonly weights: Float32Array;
  /** [n·K]; empty with cached handles. */
  readonly slots: Int16Array;
}

/** The parts of a received dispatch payload. @throws CommError PROTOCOL when it isn't of the own shape or names a slot that isn't there. */
export function readDispatchPayload(
  header: FrameHeader,
  payload: Uint8Array,
  shape: PayloadShape,
  kind: DispatchKind = {},
): ReceivedDispatch {
  checkHeader(header, dispatchForm(shape, kind));
  const { hidden, numTopk, reduce, dispatchDtype: dtype } = shape;
  const { isCached = false, numSources = 0 } = kind;
  const { numRows } = header;
  const numWeights = !isCached && reduce === 'rank' ? numRows * numTopk : 0;
  const weightsAt = 4 * numSources;
  const rowsAt = weightsAt + 4 * numWeights;
  const slotsAt = rowsAt + numRows * wireRowBytes(dtype, hidden);
  const slots = slotsIn(payload, slotsAt);
  checkSlots(header, slots, shape);
  const counts = numSources === 0 ? NO_COUNTS : new Uint32Array(payload.buffer, payload.byteOffset, numSources);
  const weights = new Float32Array(payload.buffer, payload.byteOffset + weightsAt, numWeights);
  return { numRows, counts, rows: payload.subarray(rowsAt, slotsAt), weights, slots };
}

/** Checks that a received combine payload holds `numRows` rows. @throws CommError PROTOCOL when it doesn't, or is of another form. */
export function checkCombinePayload(header: FrameHeader, numRows: number, form: FrameForm): void {
  if (header.numRows !== numRows) throw refusal(header, `${header.numRows} rows, ${numRows} expected`);
  checkHeader(header, form);
}

/** What the frames of a dispatch say alike. */
export function dispatchForm(shape: PayloadShape, { isCached = false, numSources = 0 }: DispatchKind = {}): FrameForm {
  const { hidden, numTopk, reduce, dispatchDtype: dtype } = shape;
  const size = { hidden, numTopk, reduce, dtype, isCached, numSources };
  const flags = flagsOf(shape, { isCached, isForwarded: numSources > 0 });
  return { hidden, numTopk, dtype: frameDtypeOf(dtype), flags, frameBytes: (numRows) => dispatchBytes(numRows, size) };
}

/** What the frames of a combine say alike. `isForwarded`: rows of several sources inside a node; `ranksPerNode`: as for {@link combineBytes}. */
export function combineForm(
  shape: PayloadShape,
  { isForwarded = false, ranksPerNode = 0 }: { readonly isForwarded?: boolean; readonly ranksPerNode?: number } = {},
): FrameForm {
  const { hidden, numTopk, combineDtype: dtype } = shape;
  const flags = flagsOf(shape, { isCached: false, isForwarded });
  const frameBytes = (numRows: number): number => combineBytes(numRows, hidden, dtype, ranksPerNode);
  return { hidden, numTopk, dtype: frameDtypeOf(dtype), flags, frameBytes };
}

const frameDtypeOf = (form: WireForm): FrameDtype => (typeof form === 'string' ? form : 'custom');

function flagsOf(
  { reduce, isLowLatency }: PayloadShape,
  { isCached, isForwarded }: { readonly isCached: boolean; readonly isForwarded: boolean },
): number {
  const { lowLatency, reduceSource, cached, hierarchical } = FRAME_FLAGS;
  if (isLowLatency === true) return lowLatency;
  return (reduce === 'source' ? reduceSource : 0) | (isCached ? cached : 0) | (isForwarded ? hierarchical : 0);
}

/** @throws CommError PROTOCOL with both numbers when the peer's frame is of another form than ours. */
export function checkHeader(header: FrameHeader, { hidden, numTopk, dtype, flags, frameBytes }: FrameForm): void {
  if (header.flags !== flags) throw refusal(header, `mode ${flagNames(header.flags)}, ${flagNames(flags)} here`);
  if (header.hidden !== hidden) throw refusal(header, `hidden ${header.hidden}, ${hidden} here`);
  if (header.numTopk !== numTopk) throw refusal(header, `numTopk ${header.numTopk}, ${numTopk} here`);
  if (header.dtype !== dtype) throw refusal(header, `wire dtype ${header.dtype}, ${dtype} here`);
  const payloadBytes = frameBytes(header.numRows) - FRAME_HEADER_BYTES;
  if (header.payloadBytes !== payloadBytes) {
    throw refusal(header, `${header.payloadBytes} payload bytes, ${payloadBytes} expected for ${header.numRows} rows`);
  }
}

function flagNames(flags: number): string {
  const names = Object.entries(FRAME_FLAGS).flatMap(([name, bit]) => ((flags & bit) === 0 ? [] : [name]));
  return names.length === 0 ? 'plain' : names.join(' + ');
}

function checkSlots(header: FrameHeader, slots: Int16Array, { numTopk, slotsPerRank }: PayloadShape): void {
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i]!;
    if (slot >= -1 && slot < slotsPerRank) continue;
    throw refusal(header, `slot ${slot} in row ${Math.floor(i / numTopk)}, -1 … ${slotsPerRank - 1} expected`);
  }
}

/** A frame that the protocol doesn't allow. */
export function refusal({ source, phase, layer }: FrameHeader, what: string): CommError {
  const message = `rank ${source} sent a ${phase} frame of layer ${layer} with ${what}; give every rank the same model and options`;
  return new CommError('PROTOCOL', message, { rank: source, layer, phase });
}
