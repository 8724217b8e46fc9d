/**
 * Rows of keys and values as frames, and what is checked of those that come. Pure; docs/wire.md shows them.
 * n tokens, F floats of a token in one layer. Why: docs/decisions/handover.md#rows-not-blocks
 */
import { isDeepStrictEqual } from 'node:util';
import { CommError } from '../base/errors.js';
import { asRank } from '../../base/ids.js';
import { decodeRows, encodeRows, wireRowBytes } from '../codec/wire_dtype.js';
import { decodeHeader, encodeHeader, FRAME_HEADER_BYTES, type FrameHeader } from '../mesh/frame.js';
import type { KvArrival, KvRows, KvWish } from './kv_link.js';

/** Of a frame, but for a row that is longer alone. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;

/** Tokens that one frame has at most: at least one. */
export const rowsPerFrame = ({ wire, rowFloats }: Pick<KvWish, 'wire' | 'rowFloats'>): number =>
  Math.max(1, Math.floor(MAX_PAYLOAD_BYTES / wireRowBytes(wire, rowFloats)));

/** The largest frame that answers a wish, header included. */
export const maxKvFrameBytes = (wish: Pick<KvWish, 'wire' | 'rowFloats'>): number =>
  FRAME_HEADER_BYTES + rowsPerFrame(wish) * wireRowBytes(wish.wire, wish.rowFloats);

/** One frame, in memory of its own. */
export function encodeKvFrame({ layer, token, rows }: KvRows, { wire, rowFloats }: KvWish): Uint8Array<ArrayBuffer> {
  const numRows = rows.length / rowFloats;
  const payloadBytes = numRows * wireRowBytes(wire, rowFloats);
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payloadBytes);
  bytes.set(encodeHeader(headerOf({ layer, step: token, numRows, hidden: rowFloats, dtype: wire, payloadBytes })));
  encodeRows(wire, rows, null, numRows, rowFloats, bytes.subarray(FRAME_HEADER_BYTES));
  return bytes;
}

/** Ranks of two instances have no numbers in common. */
const headerOf = (
  own: Pick<FrameHeader, 'layer' | 'step' | 'numRows' | 'hidden' | 'dtype' | 'payloadBytes'>,
): FrameHeader => ({
  ...{ phase: 'kv', source: asRank(0), destination: asRank(0), microBatch: 0, epoch: 0, numTopk: 0, flags: 0 },
  ...own,
});

/** Takes the frames that answer one wish: of each layer its tokens in their order, all of them, and nothing else. */
export class KvIntake {
  /** By layer: the token that comes next. */
  private readonly next: number[];
  private numLeft: number;

  constructor(private readonly wish: KvWish) {
    this.next = new Array<number>(wish.numLayers).fill(wish.from);
    this.numLeft = wish.numLayers * (wish.to - wish.from);
  }

  /** Everything has come. */
  get isComplete(): boolean {
    return this.numLeft === 0;
  }

  /** The rows of a frame, and their bytes on the wire. @throws CommError PROTOCOL, VERSION_MISMATCH for anything else than is due */
  take(frame: Uint8Array): KvArrival {
    const { wire, rowFloats, to } = this.wish;
    const header = decodeHeader(frame);
    const { layer, step: token, numRows } = header;
    const due = this.next[layer];
    if (due === undefined) throw refusal(`layer ${layer} of a model with ${this.next.length}`);
    if (token !== due || numRows < 1 || numRows > to - token) {
      throw refusal(`${numRows} tokens from ${token} on of layer ${layer}, ${due} … ${to - 1} are due`);
    }
    const payloadBytes = numRows * wireRowBytes(wire, rowFloats);
    const expected = headerOf({ layer, step: token, numRows, hidden: rowFloats, dtype: wire, payloadBytes });
    if (!isDeepStrictEqual(header, expected)) {
      throw refusal(`${header.phase} rows of ${header.hidden} floats as ${header.dtype}, ${rowFloats} as ${wire} due`);
    }
    const payload = frame.subarray(FRAME_HEADER_BYTES);
    if (payload.byteLength !== payloadBytes) throw refusal(`${payload.byteLength} bytes, ${payloadBytes} are due`);
    const rows = new Float32Array(numRows * rowFloats);
    decodeRows(wire, payload, numRows, rowFloats, rows, 0);
    this.next[layer] = token + numRows;
    this.numLeft -= numRows;
    return { layer, token, rows, payloadBytes };
  }
}

const refusal = (what: string): CommError =>
  new CommError('PROTOCOL', `keys and values that were not asked for: ${what}; run the same build everywhere`, {
    phase: 'kv',
  });
