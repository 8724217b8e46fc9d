/**
 * Rows of keys and values as frames, and what is checked of those that come. Pure; docs/wire.md shows them.
 * Why: docs/decisions/handover.md#rows-not-blocks
 */
import { isDeepStrictEqual } from 'node:util';
import { CommError } from '../base/errors.js';
import { asRank } from '../../base/ids.js';
import { decodeRows, encodeRows } from '../codec/wire_dtype.js';
import { decodeHeader, encodeHeader, FRAME_HEADER_BYTES, type FrameHeader } from '../mesh/frame.js';
import type { KvArrival, KvRows, KvWish } from './kv_link.js';

/** Of a frame, but for a row that is longer alone. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;

/** What a row of a wish is, in caches and on its way. */
export type KvRowForm = Pick<KvWish, 'dtype' | 'rowBytes' | 'wire'>;

/** Whether rows are rounded on their way, which f32 to bf16 alone are. */
export const isRounded = ({ dtype, wire }: Pick<KvWish, 'dtype' | 'wire'>): boolean =>
  dtype === 'f32' && wire === 'bf16';

/** Of a token's rows in one layer, as they travel. */
export const sentRowBytes = (form: KvRowForm): number => (isRounded(form) ? form.rowBytes / 2 : form.rowBytes);

/** Tokens that one frame has at most: at least one. */
export const rowsPerFrame = (form: KvRowForm): number =>
  Math.max(1, Math.floor(MAX_PAYLOAD_BYTES / sentRowBytes(form)));

/** The largest frame that answers a wish, header included. */
export const maxKvFrameBytes = (form: KvRowForm): number =>
  FRAME_HEADER_BYTES + rowsPerFrame(form) * sentRowBytes(form);

/** One frame, in memory of its own. */
export function encodeKvFrame({ layer, token, rows }: KvRows, wish: KvWish): Uint8Array<ArrayBuffer> {
  const numRows = rows.length / wish.rowBytes;
  const header = headerOf(wish, { layer, token, numRows });
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + header.payloadBytes);
  bytes.set(encodeHeader(header));
  const payload = bytes.subarray(FRAME_HEADER_BYTES);
  if (isRounded(wish)) encodeRows('bf16', floatsIn(rows), null, numRows, wish.rowBytes / 4, payload);
  else payload.set(rows);
  return bytes;
}

/** Ranks of two instances have no numbers in common. */
function headerOf(
  form: KvRowForm,
  { layer, token: step, numRows }: { readonly layer: number; readonly token: number; readonly numRows: number },
): FrameHeader {
  const hidden = sentRowBytes(form);
  return {
    ...{ phase: 'kv', source: asRank(0), destination: asRank(0), microBatch: 0, epoch: 0, numTopk: 0, flags: 0 },
    ...{ layer, step, numRows, hidden, dtype: form.wire, payloadBytes: numRows * hidden },
  };
}

const floatsIn = (rows: Uint8Array): Float32Array =>
  new Float32Array(rows.buffer, rows.byteOffset, rows.byteLength / 4);

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
    const { wish } = this;
    const header = decodeHeader(frame);
    const { layer, step: token, numRows } = header;
    const due = this.next[layer];
    if (due === undefined) throw refusal(`layer ${layer} of a model with ${this.next.length}`);
    if (token !== due || numRows < 1 || numRows > wish.to - token) {
      throw refusal(`${numRows} tokens from ${token} on of layer ${layer}, ${due} … ${wish.to - 1} are due`);
    }
    const expected = headerOf(wish, { layer, token, numRows });
    if (!isDeepStrictEqual(header, expected)) {
      const { hidden, dtype } = expected;
      throw refusal(`${header.phase} rows of ${header.hidden} bytes as ${header.dtype}, ${hidden} as ${dtype} due`);
    }
    const payload = frame.subarray(FRAME_HEADER_BYTES);
    const { payloadBytes } = expected;
    if (payload.byteLength !== payloadBytes) throw refusal(`${payload.byteLength} bytes, ${payloadBytes} are due`);
    const rows = new Uint8Array(numRows * wish.rowBytes);
    if (isRounded(wish)) decodeRows('bf16', payload, numRows, wish.rowBytes / 4, floatsIn(rows), 0);
    else rows.set(payload);
    this.next[layer] = token + numRows;
    this.numLeft -= numRows;
    return { layer, token, rows, payloadBytes };
  }
}

const refusal = (what: string): CommError =>
  new CommError('PROTOCOL', `keys and values that were not asked for: ${what}; run the same build everywhere`, {
    phase: 'kv',
  });
