/**
 * Whole blocks of keys and values as frames, and what is checked of those that come. Pure; docs/wire.md shows them.
 * Why: docs/decisions/kv_store.md#blocks-not-rows
 */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { asRank } from '../../base/ids.js';
import { CommError } from '../base/errors.js';
import { decodeHeader, encodeHeader, FRAME_HEADER_BYTES, type FrameHeader } from '../mesh/frame.js';
import type { KvBlock, KvBlocksWish } from './kv_link.js';

/** Of a frame. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;
/** In front of a block's bytes: SHA-256 of its key and of them, so that what was damaged, or another block, is none. */
const DIGEST_BYTES = 32;

/** The largest frame that answers a wish, header included. */
export const maxBlockFrameBytes = (wish: Pick<KvBlocksWish, 'rowBytes' | 'stateBytes'>): number =>
  FRAME_HEADER_BYTES + Math.min(MAX_PAYLOAD_BYTES, DIGEST_BYTES + wish.rowBytes + wish.stateBytes);

/** A block's frames in their order; the first one holds its digest too. */
export function* blockFrames({ at, key, bytes }: KvBlock): Generator<Uint8Array<ArrayBuffer>, void, undefined> {
  const digest = digestOf(key, bytes);
  const numBytes = DIGEST_BYTES + bytes.byteLength;
  for (let from = 0; from < numBytes; from += MAX_PAYLOAD_BYTES) {
    const to = Math.min(numBytes, from + MAX_PAYLOAD_BYTES);
    const frame = new Uint8Array(FRAME_HEADER_BYTES + to - from);
    frame.set(encodeHeader(headerOf({ step: at, numRows: from, hidden: numBytes, payloadBytes: to - from })));
    const isFirst = from === 0;
    if (isFirst) frame.set(digest, FRAME_HEADER_BYTES);
    const piece = bytes.subarray(Math.max(0, from - DIGEST_BYTES), to - DIGEST_BYTES);
    frame.set(piece, FRAME_HEADER_BYTES + (isFirst ? DIGEST_BYTES : 0));
    yield frame;
  }
}

const digestOf = (key: string, bytes: Uint8Array): Buffer =>
  createHash('sha256').update(Buffer.from(key, 'latin1')).update(bytes).digest();

/** `step`: the block's place; `numRows`: where in the run of digest and bytes this piece begins; `hidden`: how long that run is. */
const headerOf = (own: Pick<FrameHeader, 'step' | 'numRows' | 'hidden' | 'payloadBytes'>): FrameHeader => ({
  ...{ phase: 'kv', source: asRank(0), destination: asRank(0), layer: 0, microBatch: 0, epoch: 0 },
  ...{ numTopk: 0, dtype: 'f32', flags: 0 },
  ...own,
});

/** A block of which not all pieces have come. */
interface Coming {
  readonly run: Uint8Array<ArrayBuffer>;
  numBytes: number;
}

/** Takes the frames that answer one wish: block by block in their order, each whole and with its key's digest, and nothing else. */
export class BlockIntake {
  private numTaken = 0;
  private coming: Coming | null = null;

  /** `keys`: of the blocks that are wanted, as many as `wish.numBlocks`. */
  constructor(
    private readonly wish: KvBlocksWish,
    private readonly keys: readonly string[],
  ) {}

  /** Everything has come. */
  get isComplete(): boolean {
    return this.numTaken === this.wish.numBlocks;
  }

  /** The block whose last piece this is; null: more of it is due. @throws CommError PROTOCOL, VERSION_MISMATCH for anything else than is due */
  take(frame: Uint8Array): KvBlock | null {
    const header = decodeHeader(frame);
    const coming = this.comingOf(header);
    const left = coming.run.byteLength - coming.numBytes;
    const payload = frame.subarray(FRAME_HEADER_BYTES);
    const { byteLength: payloadBytes } = payload;
    const due = { step: this.wish.first + this.numTaken, numRows: coming.numBytes, hidden: coming.run.byteLength };
    const isDue = isDeepStrictEqual(header, headerOf({ ...due, payloadBytes }));
    if (this.isComplete || !isDue || payloadBytes < 1 || payloadBytes > left) {
      const came = `bytes from ${header.numRows} on of block ${header.step}, ${payloadBytes} of ${header.hidden}`;
      throw refusal(`${came}; those from ${due.numRows} on of block ${due.step} are due`);
    }
    coming.run.set(payload, coming.numBytes);
    coming.numBytes += payloadBytes;
    this.coming = coming;
    return coming.numBytes < coming.run.byteLength ? null : this.whole(coming.run);
  }

  /** Memory for a block is taken when its first piece says which of the two lengths it has. */
  private comingOf({ hidden }: FrameHeader): Coming {
    const { rowBytes, stateBytes } = this.wish;
    if (this.coming !== null) return this.coming;
    const numBytes = hidden - DIGEST_BYTES;
    if (numBytes !== rowBytes && numBytes !== rowBytes + stateBytes) {
      throw refusal(`a block of ${numBytes} bytes, ${rowBytes} and ${stateBytes} of a state are due`);
    }
    return { run: new Uint8Array(hidden), numBytes: 0 };
  }

  private whole(run: Uint8Array<ArrayBuffer>): KvBlock {
    const key = this.keys[this.numTaken]!;
    const bytes = run.subarray(DIGEST_BYTES);
    const at = this.wish.first + this.numTaken;
    if (!digestOf(key, bytes).equals(run.subarray(0, DIGEST_BYTES))) throw damaged(at);
    this.coming = null;
    this.numTaken++;
    return { at, key, bytes };
  }
}

const refusal = (what: string): CommError =>
  new CommError('PROTOCOL', `blocks that were not asked for: ${what}; run the same build everywhere`, { phase: 'kv' });

const damaged = (at: number): CommError =>
  new CommError('PROTOCOL', `block ${at} of a lease is not what its key stands for; compute it`, { phase: 'kv' });
