/**
 * The header of every data frame between two ranks: pure encoding, no I/O (docs/wire.md shows it byte by byte).
 * A frame is this fixed header and a payload of raw typed-array bytes, never msgpack or JSON.
 */
import { CommError } from './errors.js';
import { asRank, type Rank } from './ids.js';

export const FRAME_MAGIC = 0x52495745; // "EWIR" in little-endian bytes
export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 40;

/** What a frame belongs to. A collective's sequence number travels in `step`. */
export const PHASES = ['dispatch', 'combine', 'barrier', 'broadcast', 'all_gather'] as const;
export type Phase = (typeof PHASES)[number];

/** One all-to-all call of one layer; frames match by tag, never by the order of calls. */
export interface StepTag {
  readonly step: number;
  readonly layer: number;
  readonly microBatch: number;
  /** Membership epoch: frames of an old epoch are discarded and counted. */
  readonly epoch: number;
}

export interface FrameHeader extends StepTag {
  readonly phase: Phase;
  readonly source: Rank;
  readonly destination: Rank;
  readonly numRows: number;
  /** Channels per row (0 for collectives). */
  readonly hidden: number;
  /** Routing entries per row (0 where none travel). */
  readonly numTopk: number;
  /** 1 where rows return per expert (`reduce: source`), else 0: both ends must agree. */
  readonly reduceSource: 0 | 1;
  readonly payloadBytes: number;
}
