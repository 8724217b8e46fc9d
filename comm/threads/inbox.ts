/**
 * What the threads of a mesh share: an inbox per rank, into which every other rank writes. It has a ring per sender, for each the number of messages
 * that it posted besides, and a word that says whether the owner sleeps.
 *
 * No wake-up can be lost: a sender first publishes (a position of the ring) and then looks whether the owner sleeps; the owner first says that it sleeps and
 * then looks into the rings. Atomic operations have one order for all threads, so at least one of the two sees the other: the owner the frame, or the
 * sender that it has to ring. The word is written by its owner alone, so a sender that dies or is held up between the two takes nobody's bell with it.
 */
import { LINE_BYTES, ringBytes, type RingPlace } from './frame_ring.js';

/** Words of the first line of an inbox: counts up each time when its owner falls asleep and when it wakes; odd: it sleeps. */
const NAPS = 0;
/** Words of the line before each ring: how many messages its sender posted. */
const POSTED = 0;

/** Of all rings of one inbox. */
const INBOX_BYTES = 512 * 1024;
const MAX_RING_BYTES = 64 * 1024;
const MIN_RING_BYTES = 4 * 1024;

/** Bytes of each ring in a mesh of `size`: less where there are more of them. */
function capacityOf(size: number): number {
  const share = 2 ** Math.floor(Math.log2(INBOX_BYTES / size));
  return Math.max(MIN_RING_BYTES, Math.min(MAX_RING_BYTES, share));
}

const slotBytes = (size: number): number => LINE_BYTES + ringBytes(capacityOf(size));

/** An inbox for a mesh of `size` ranks. Its owner counts as awake until it opens its mesh. */
export function createInbox(size: number): SharedArrayBuffer {
  return new SharedArrayBuffer(LINE_BYTES + size * slotBytes(size));
}

/** The ring of one sender. */
export function ringOf(inbox: SharedArrayBuffer, sender: number, size: number): RingPlace {
  return { memory: inbox, byteOffset: lineOf(sender, size) + LINE_BYTES, capacity: capacityOf(size) };
}

const lineOf = (sender: number, size: number): number => LINE_BYTES + sender * slotBytes(size);

/** The number of messages that a sender posted to the owner of an inbox: who looks finds out without asking the port. */
export class Posts {
  private readonly word: Int32Array<SharedArrayBuffer>;

  constructor(inbox: SharedArrayBuffer, sender: number, size: number) {
    this.word = new Int32Array(inbox, lineOf(sender, size), 1);
  }

  /** So far, modulo 2³². */
  get count(): number {
    return Atomics.load(this.word, POSTED);
  }

  /** For the sender: one more was posted. */
  add(): void {
    Atomics.add(this.word, POSTED, 1);
  }
}

/** Whether the owner of an inbox sleeps. */
export class Naps {
  private readonly word: Int32Array<SharedArrayBuffer>;

  constructor(inbox: SharedArrayBuffer) {
    this.word = new Int32Array(inbox, 0, 1);
  }

  /** For senders: a number that is odd while the owner sleeps, another each time. */
  get count(): number {
    return Atomics.load(this.word, NAPS);
  }

  /** For the owner: from now on it has to be woken. It must look once more before it sleeps. */
  sleep(): void {
    if ((this.count & 1) === 0) Atomics.add(this.word, NAPS, 1);
  }

  /** For the owner: it will look by itself, so nobody needs to wake it. */
  wake(): void {
    if ((this.count & 1) === 1) Atomics.add(this.word, NAPS, 1);
  }
}
