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

/** Smaller payloads come from the heap and aren't kept. */
const MIN_KEPT_BYTES = 1024;
/** Before every payload: a thread writes the frame's header there and hands both over as they lie. */
const HEADROOM = FRAME_HEADER_BYTES;
/** Steps between two powers of two: sizes vary from call to call, and memory of nearly the same size serves again. */
const STEPS = 4;

/** Keeps memory that came back, by size, up to a limit of bytes; beyond it what was used long ago goes first. */
export class PayloadPool implements PayloadMemory {
  /** By size of the memory; what came back last is used first, because it is in the cache. */
  private readonly idle = new Map<number, ArrayBuffer[]>();
  private idleBytes = 0;

  /** Keeps so many bytes at most for later use. */
  constructor(private readonly maxIdleBytes: number) {}

  allocate(numBytes: number): Uint8Array<ArrayBuffer> {
    if (numBytes < MIN_KEPT_BYTES) return new Uint8Array(new ArrayBuffer(HEADROOM + numBytes), HEADROOM);
    const size = HEADROOM + sizeClassOf(numBytes);
    if (size > this.maxIdleBytes) return new Uint8Array(newMemory(HEADROOM + numBytes), HEADROOM);
    const idle = this.idle.get(size)?.pop();
    if (idle !== undefined) this.idleBytes -= size;
    return new Uint8Array(idle ?? newMemory(size), HEADROOM, numBytes);
  }

  release(payload: Uint8Array<ArrayBuffer>): void {
    const size = payload.buffer.byteLength;
    if (payload.byteLength < MIN_KEPT_BYTES || size > this.maxIdleBytes) return;
    const list = this.idle.get(size) ?? [];
    this.idle.delete(size); // the size used last is the map's last
    this.idle.set(size, list);
    this.makeRoom(size);
    if (this.idleBytes + size > this.maxIdleBytes) return;
    list.push(payload.buffer);
    this.idleBytes += size;
  }

  /** Sizes that were used long ago must not keep out one that is used now. */
  private makeRoom(size: number): void {
    for (const [other, list] of this.idle) {
      if (other === size) return;
      while (this.idleBytes + size > this.maxIdleBytes && list.pop() !== undefined) this.idleBytes -= other;
      if (list.length > 0) return;
      this.idle.delete(other);
    }
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
  const step = 2 ** Math.floor(Math.log2(numBytes)) / STEPS;
  return Math.ceil(numBytes / step) * step;
}

/** Not zeroed, and not from Node's shared pool. */
const newMemory = (numBytes: number): ArrayBuffer => Buffer.allocUnsafeSlow(numBytes).buffer;
