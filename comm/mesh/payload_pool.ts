/**
 * Memory for payloads that come and go. What is given back is used again: fresh large buffers cost page faults and full garbage collections, which
 * together can take longer than moving the bytes.
 * Why: docs/decisions/exchange.md#payload-memory-circulates
 */
import { FRAME_HEADER_BYTES } from './frame.js';

/** Where payloads live. */
export interface PayloadMemory {
  /** So many bytes, 4-byte aligned, not zeroed: the caller fills them all before anybody sees them. */
  allocate(numBytes: number): Uint8Array<ArrayBuffer>;
  /** Takes back what `allocate` gave, once; nobody may use it any more. */
  release(payload: Uint8Array<ArrayBuffer>): void;
}

/** Smaller payloads get as much. */
const MIN_BYTES = 256;
/** Before every payload: a thread writes the frame's header there and hands both over as they lie. */
const HEADROOM = FRAME_HEADER_BYTES;
/** Steps between two powers of two: sizes vary from call to call, and memory of nearly the same size serves again. */
const STEPS = 4;

/** Idle memory of one size; what came back last is used first, because it is in the cache. */
interface Shelf {
  readonly idle: ArrayBuffer[];
  /** The number of the use that was the last. */
  usedAt: number;
}

/** Keeps memory that came back, by size, up to a limit of bytes; beyond it what was used long ago goes first. */
export class PayloadPool implements PayloadMemory {
  private readonly shelves = new Map<number, Shelf>();
  private idleBytes = 0;
  private numUses = 0;
  private numAllocations = 0;

  /** Keeps so many bytes at most for later use. */
  constructor(private readonly maxIdleBytes: number) {}

  /** How often memory had to be made, since none of its size lay idle. */
  get allocations(): number {
    return this.numAllocations;
  }

  allocate(numBytes: number): Uint8Array<ArrayBuffer> {
    const size = HEADROOM + sizeClassOf(numBytes);
    const memory = this.shelves.get(size)?.idle.pop();
    if (memory !== undefined) {
      this.idleBytes -= size;
      return new Uint8Array(memory, HEADROOM, numBytes);
    }
    this.numAllocations++;
    return new Uint8Array(newMemory(size > this.maxIdleBytes ? HEADROOM + numBytes : size), HEADROOM, numBytes);
  }

  release(payload: Uint8Array<ArrayBuffer>): void {
    const size = payload.buffer.byteLength;
    if (size > this.maxIdleBytes) return;
    let shelf = this.shelves.get(size);
    if (shelf === undefined) this.shelves.set(size, (shelf = { idle: [], usedAt: 0 }));
    shelf.usedAt = ++this.numUses;
    while (this.idleBytes + size > this.maxIdleBytes) if (!this.makeRoom(shelf)) return;
    shelf.idle.push(payload.buffer);
    this.idleBytes += size;
  }

  /** Sizes that were used long ago must not keep out one that is used now: takes from the oldest, and says whether there was any. */
  private makeRoom(wanted: Shelf): boolean {
    let oldest: [number, Shelf] | undefined;
    for (const entry of this.shelves) {
      if (entry[1] !== wanted && (oldest === undefined || entry[1].usedAt < oldest[1].usedAt)) oldest = entry;
    }
    if (oldest === undefined) return false;
    const [size, { idle }] = oldest;
    if (idle.pop() === undefined) this.shelves.delete(size);
    else this.idleBytes -= size;
    return true;
  }
}

/** Memory of its own for each payload, which the garbage collector takes back: for what has no clear end. */
export const FRESH_MEMORY: PayloadMemory = {
  allocate: (numBytes) => new Uint8Array(newMemory(HEADROOM + numBytes), HEADROOM),
  release: () => undefined,
};

/** The parts one after another, in memory of their own. */
export function joined(parts: readonly Uint8Array[], numBytes: number, memory: PayloadMemory): Uint8Array<ArrayBuffer> {
  const whole = memory.allocate(numBytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

/** What gives a payload back at its first call. */
export function releaseOnce(memory: PayloadMemory, payload: Uint8Array<ArrayBuffer>): () => void {
  let isHeld = true;
  return () => {
    if (isHeld) memory.release(payload);
    isHeld = false;
  };
}

/** Floats that live in payload memory for a while. */
export interface LeasedFloats {
  readonly floats: Float32Array;
  /** Idempotent: gives the memory back; the floats may not be used any more. */
  release(): void;
}

/** So many floats, not zeroed. */
export function leaseFloats(memory: PayloadMemory, length: number): LeasedFloats {
  const bytes = memory.allocate(4 * length);
  const floats = new Float32Array(bytes.buffer, bytes.byteOffset, length);
  return { floats, release: releaseOnce(memory, bytes) };
}

/** The smallest size of memory that takes so many bytes: a power of two or a quarter step above. */
function sizeClassOf(numBytes: number): number {
  if (numBytes <= MIN_BYTES) return MIN_BYTES;
  const log2 = numBytes < 0x8000_0000 ? 31 - Math.clz32(numBytes) : Math.floor(Math.log2(numBytes));
  const step = 2 ** log2 / STEPS;
  return Math.ceil(numBytes / step) * step;
}

/** Not zeroed, and not from Node's shared pool. */
const newMemory = (numBytes: number): ArrayBuffer => Buffer.allocUnsafeSlow(numBytes).buffer;
