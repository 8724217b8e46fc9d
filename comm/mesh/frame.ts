/**
 * The header of every data frame between two ranks: pure encoding, no I/O (docs/wire.md shows it byte by byte).
 * A frame is this fixed header and a payload of raw typed-array bytes, never msgpack or JSON.
 */
import { CommError } from '../base/errors.js';
import { asRank, type Rank } from '../../base/ids.js';
import { WIRE_DTYPES, type WireDtype } from '../codec/wire_dtype.js';

/** What a frame begins with: "EWIR" in little-endian bytes. */
export const FRAME_MAGIC = 0x52495745;
/** Of the layout of headers (docs/wire.md): another one is refused. */
export const FRAME_VERSION = 2;
/** What each frame carries before its payload. */
export const FRAME_HEADER_BYTES = 40;

/**
 * What a frame belongs to; `_node`: the hop between nodes of a hierarchical one. A collective's sequence number travels in `step`; `weights`: rows of an
 * expert that moves; `kv`: blocks of sequences that move.
 */
export const PHASES = [
  'dispatch',
  'combine',
  'dispatch_node',
  'combine_node',
  'barrier',
  'broadcast',
  'all_gather',
  'weights',
  'kv',
] as const;
/** What a frame is part of; a header says it by its place in {@link PHASES}. */
export type Phase = (typeof PHASES)[number];

/** One all-to-all call of one layer; frames match by tag, never by the order of calls. */
export interface StepTag {
  readonly step: number;
  readonly layer: number;
  readonly microBatch: number;
  /** Membership epoch: frames of an old epoch are discarded and counted. */
  readonly epoch: number;
}

/** How rows are written: as a dtype, or as a codec of somebody else has them, which both ends must know. */
export type FrameDtype = WireDtype | 'custom';

/** Of 'custom'; a dtype says it by its place. */
const CUSTOM_DTYPE = 255;

/** What a frame says of itself, in 40 bytes on the wire. */
export interface FrameHeader extends StepTag {
  readonly phase: Phase;
  readonly source: Rank;
  readonly destination: Rank;
  readonly numRows: number;
  /** Channels per row (0 for collectives). */
  readonly hidden: number;
  /** Routing entries per row (0 where none travel). */
  readonly numTopk: number;
  /** How the rows are written; 'f32' for collectives. */
  readonly dtype: FrameDtype;
  /** Sum of FRAME_FLAGS: what both ends must agree on. */
  readonly flags: number;
  readonly payloadBytes: number;
}

/** Which frame a caller waits for. */
export interface FrameKey extends StepTag {
  readonly phase: Phase;
}

/** Bits of `flags`. */
export const FRAME_FLAGS = {
  /** Rows return per expert (`reduce: 'source'`). */
  reduceSource: 1,
  /** Rows of a cached handle: no routing travels. */
  cached: 2,
  /** One row per (token, expert), as the low-latency mode sends. */
  lowLatency: 4,
  /** Rows of several sources, forwarded inside a node. */
  hierarchical: 8,
} as const;
const ALL_FLAGS = Object.values(FRAME_FLAGS).reduce((all, flag) => all | flag, 0);

/** The 40 bytes of a header. @throws CommError INVALID_ARGUMENT when a number doesn't fit its field. */
export function encodeHeader(header: FrameHeader): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES);
  writeHeader(header, new DataView(bytes.buffer), 0);
  return bytes;
}

/** As `encodeHeader`, into 40 bytes from `at` on; field by field in one piece, because every frame passes here. */
export function writeHeader(header: FrameHeader, view: DataView, at: number): void {
  view.setUint32(at, FRAME_MAGIC, true);
  view.setUint8(at + 4, FRAME_VERSION);
  view.setUint8(at + 5, PHASES.indexOf(header.phase));
  view.setUint8(at + 6, header.dtype === 'custom' ? CUSTOM_DTYPE : WIRE_DTYPES.indexOf(header.dtype));
  view.setUint8(at + 7, checkField('flags', header.flags, ALL_FLAGS));
  view.setUint16(at + 8, checkField('source', header.source, 0xffff), true);
  view.setUint16(at + 10, checkField('destination', header.destination, 0xffff), true);
  view.setUint16(at + 12, checkField('layer', header.layer, 0xffff), true);
  view.setUint16(at + 14, checkField('microBatch', header.microBatch, 0xffff), true);
  view.setUint32(at + 16, checkField('epoch', header.epoch, 0xffffffff), true);
  view.setUint32(at + 20, checkField('step', header.step, 0xffffffff), true);
  view.setUint32(at + 24, checkField('numRows', header.numRows, 0xffffffff), true);
  view.setUint32(at + 28, checkField('hidden', header.hidden, 0xffffffff), true);
  view.setUint16(at + 32, checkField('numTopk', header.numTopk, 0xffff), true);
  view.setUint16(at + 34, 0, true);
  view.setUint32(at + 36, checkField('payloadBytes', header.payloadBytes, 0xffffffff), true);
}

/** The header in the first 40 bytes. @throws CommError PROTOCOL or VERSION_MISMATCH on anything that `encodeHeader` can't have written. */
export function decodeHeader(bytes: Uint8Array): FrameHeader {
  if (bytes.byteLength < FRAME_HEADER_BYTES) {
    throw refusal(`a header of ${bytes.byteLength} bytes, ${FRAME_HEADER_BYTES} expected`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  const { phase, dtype } = checkConstants(view);
  return {
    phase,
    dtype,
    flags: view.getUint8(7),
    source: asRank(view.getUint16(8, true)),
    destination: asRank(view.getUint16(10, true)),
    layer: view.getUint16(12, true),
    microBatch: view.getUint16(14, true),
    epoch: view.getUint32(16, true),
    step: view.getUint32(20, true),
    numRows: view.getUint32(24, true),
    hidden: view.getUint32(28, true),
    numTopk: view.getUint16(32, true),
    payloadBytes: view.getUint32(36, true),
  };
}

/** @throws CommError INVALID_ARGUMENT when a tag can't travel in a header, so that a call on one rank fails like one on many. */
export function checkTag(tag: StepTag): void {
  checkField('step', tag.step, 0xffffffff);
  checkField('layer', tag.layer, 0xffff);
  checkField('microBatch', tag.microBatch, 0xffff);
  checkField('epoch', tag.epoch, 0xffffffff);
}

/** Everything in a header that isn't a free number. */
function checkConstants(view: DataView): { phase: Phase; dtype: FrameDtype } {
  const magic = view.getUint32(0, true);
  if (magic !== FRAME_MAGIC) throw refusal(`magic 0x${magic.toString(16)}, 0x${FRAME_MAGIC.toString(16)} expected`);
  const version = view.getUint8(4);
  if (version !== FRAME_VERSION) {
    throw new CommError(
      'VERSION_MISMATCH',
      `a frame of version ${version}, this build speaks ${FRAME_VERSION}; run the same build on every rank`,
    );
  }
  const phase = PHASES[view.getUint8(5)];
  if (phase === undefined) throw refusal(`phase ${view.getUint8(5)}, 0 … ${PHASES.length - 1} expected`);
  const dtype = view.getUint8(6) === CUSTOM_DTYPE ? 'custom' : WIRE_DTYPES[view.getUint8(6)];
  if (dtype === undefined) {
    throw refusal(`dtype ${view.getUint8(6)}, 0 … ${WIRE_DTYPES.length - 1} or ${CUSTOM_DTYPE} expected`);
  }
  if (view.getUint8(7) > ALL_FLAGS) throw refusal(`unknown flags 0x${view.getUint8(7).toString(16)}`);
  if (view.getUint16(34, true) !== 0) throw refusal(`reserved bytes ${view.getUint16(34, true)}, 0 expected`);
  return { phase, dtype };
}

function checkField(name: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new CommError('INVALID_ARGUMENT', `${name} is ${value}; pass an integer from 0 to ${max}`);
}

function refusal(what: string): CommError {
  return new CommError('PROTOCOL', `received ${what}; is something else talking to this port?`);
}
