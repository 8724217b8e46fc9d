/**
 * Small frames from one thread to another: a ring of bytes that both see, with one writer and one reader. Pure but for the shared memory: nobody waits
 * or is woken here.
 *
 * A frame lies in one piece, at a multiple of 8: its header and its payload. Where it doesn't fit before the end of the ring, a word of zeros, which no
 * header begins with, says that it lies at the beginning. Positions count bytes since the start, modulo 2³²; each is written by one side alone, after
 * the bytes that it speaks of, so who sees a position sees the bytes.
 */
import { CommError } from '../base/errors.js';
import { decodeHeader, FRAME_HEADER_BYTES, writeHeader, type FrameHeader } from '../mesh/frame.js';
import type { ArrivingFrame } from '../mesh/mesh.js';
import { joined, releaseOnce, type PayloadMemory } from '../mesh/payload_pool.js';

/** A line of the cache: what two threads write lies on lines of its own. */
export const LINE_BYTES = 64;
/** Before the bytes of a ring: the writer's line and the reader's. */
const LINES_BYTES = 2 * LINE_BYTES;
/** Words of these lines. */
const WRITTEN = 0;
const READ = LINE_BYTES / 4;
const ALIGNMENT = 8;
/** A larger share of the ring would leave room for too few. */
const MAX_SHARE = 4;

/** Where a ring lies. */
export interface RingPlace {
  readonly memory: SharedArrayBuffer;
  /** A multiple of a line. */
  readonly byteOffset: number;
  /** Bytes of frames that it holds: a power of two. */
  readonly capacity: number;
}

/** What a ring takes of its memory. */
export const ringBytes = (capacity: number): number => LINES_BYTES + capacity;

class RingMemory {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly view: DataView<SharedArrayBuffer>;

  constructor(readonly place: RingPlace) {
    const { memory, byteOffset, capacity } = place;
    this.words = new Int32Array(memory, byteOffset, LINES_BYTES / 4);
    this.bytes = new Uint8Array(memory, byteOffset + LINES_BYTES, capacity);
    this.view = new DataView(memory, byteOffset + LINES_BYTES, capacity);
  }
}

/** The writing end. */
export class RingWriter {
  private readonly ring: RingMemory;
  private readonly mask: number;
  private written: number;
  /** As it was when last looked at. */
  private read: number;

  constructor(place: RingPlace) {
    this.ring = new RingMemory(place);
    this.mask = place.capacity - 1;
    this.written = Atomics.load(this.ring.words, WRITTEN);
    this.read = Atomics.load(this.ring.words, READ);
  }

  /**
   * Copies a frame into the ring, where the reader sees it from now on; false where it has no room for it now.
   * @throws CommError INVALID_ARGUMENT as `writeHeader`; then nothing was written
   */
  write(header: FrameHeader, payload: readonly Uint8Array[]): boolean {
    const numBytes = placeOf(header.payloadBytes);
    if (numBytes * MAX_SHARE > this.mask + 1) return false;
    const at = this.written & this.mask;
    const toEnd = this.mask + 1 - at;
    const skipped = numBytes > toEnd ? toEnd : 0;
    if (!this.hasRoom(skipped + numBytes)) return false;
    const { view, bytes, words } = this.ring;
    let to = skipped > 0 ? 0 : at;
    writeHeader(header, view, to);
    if (skipped > 0) view.setUint32(at, 0);
    to += FRAME_HEADER_BYTES;
    for (const part of payload) {
      bytes.set(part, to);
      to += part.byteLength;
    }
    this.written = (this.written + skipped + numBytes) | 0;
    Atomics.store(words, WRITTEN, this.written);
    return true;
  }

  private hasRoom(numBytes: number): boolean {
    if (numBytes <= this.room) return true;
    this.read = Atomics.load(this.ring.words, READ);
    return numBytes <= this.room;
  }

  private get room(): number {
    return this.mask + 1 - ((this.written - this.read) >>> 0);
  }
}

/** The reading end. */
export class RingReader {
  private readonly ring: RingMemory;
  private readonly mask: number;
  private read: number;

  constructor(place: RingPlace) {
    this.ring = new RingMemory(place);
    this.mask = place.capacity - 1;
    this.read = Atomics.load(this.ring.words, READ);
  }

  /** Up to where frames are written now. */
  get written(): number {
    return Atomics.load(this.ring.words, WRITTEN);
  }

  /** Up to where they are read. */
  get position(): number {
    return this.read;
  }

  /** The next frame, in memory of its own, or undefined. @throws CommError PROTOCOL or VERSION_MISMATCH for what no writer wrote. */
  next(memory: PayloadMemory): ArrivingFrame | undefined {
    const { words, bytes, view } = this.ring;
    const { written } = this;
    if (written === this.read) return undefined;
    let at = this.read & this.mask;
    let start = this.read;
    if (view.getUint32(at) === 0) {
      start = (start + this.mask + 1 - at) | 0;
      at = 0;
    }
    const header = decodeHeader(bytes.subarray(at, at + FRAME_HEADER_BYTES));
    const numBytes = placeOf(header.payloadBytes);
    if (numBytes > (written - start) >>> 0 || at + numBytes > this.mask + 1) throw torn(header);
    const from = at + FRAME_HEADER_BYTES;
    const payload = joined([bytes.subarray(from, from + header.payloadBytes)], header.payloadBytes, memory);
    this.read = (start + numBytes) | 0;
    Atomics.store(words, READ, this.read);
    return { header, payload, release: releaseOnce(memory, payload) };
  }
}

/** Bytes of the ring that a frame takes. */
const placeOf = (payloadBytes: number): number =>
  Math.ceil((FRAME_HEADER_BYTES + payloadBytes) / ALIGNMENT) * ALIGNMENT;

function torn({ source, layer, phase, payloadBytes }: FrameHeader): CommError {
  const message = `rank ${source} announced ${payloadBytes} payload bytes and wrote fewer`;
  return new CommError('PROTOCOL', `${message}; run the same build on every rank`, { rank: source, layer, phase });
}
