/**
 * Memory that sockets read payloads into. What its consumer gives back is used again: a fresh large buffer costs a page
 * fault per 4 KiB, which can take longer than reading the bytes from the socket.
 */

/** What payloads are read into. */
export interface PayloadMemory {
  /** So many bytes, 4-byte aligned, not zeroed: the caller fills them all before anybody sees them. */
  allocate(numBytes: number): Uint8Array;
  /** Takes back what `allocate` gave, once; nobody may use it any more. */
  release(payload: Uint8Array): void;
}

/** Smaller payloads come from the heap and aren't kept. */
const MIN_KEPT_BYTES = 1024;
/** Steps between two powers of two: sizes vary from call to call, and memory of nearly the same size serves again. */
const STEPS = 4;

export class PayloadPool implements PayloadMemory {
  readonly #maxIdleBytes: number;
  /** By size of the memory; what came back last is used first, because it is in the cache. */
  readonly #idle = new Map<number, ArrayBuffer[]>();
  #idleBytes = 0;

  /** Keeps so many bytes at most for later use. */
  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes;
  }

  allocate(numBytes: number): Uint8Array {
    if (numBytes < MIN_KEPT_BYTES) return new Uint8Array(numBytes);
    const size = sizeClassOf(numBytes);
    const idle = this.#idle.get(size)?.pop();
    if (idle !== undefined) this.#idleBytes -= size;
    return new Uint8Array(idle ?? newMemory(size), 0, numBytes);
  }

  release(payload: Uint8Array): void {
    if (payload.byteLength < MIN_KEPT_BYTES) return;
    const size = payload.buffer.byteLength;
    if (this.#idleBytes + size > this.#maxIdleBytes) this.#forget();
    if (this.#idleBytes + size > this.#maxIdleBytes) return;
    const list = this.#idle.get(size) ?? [];
    this.#idle.set(size, list);
    list.push(payload.buffer as ArrayBuffer);
    this.#idleBytes += size;
  }

  /** Sizes that were used once must not keep out those that are used now. */
  #forget(): void {
    this.#idle.clear();
    this.#idleBytes = 0;
  }
}

/** The smallest size of memory that takes so many bytes: a power of two or a quarter step above. */
function sizeClassOf(numBytes: number): number {
  const step = 2 ** Math.floor(Math.log2(numBytes)) / STEPS;
  return Math.ceil(numBytes / step) * step;
}

/** Not zeroed, and not from Node's shared pool. */
const newMemory = (numBytes: number): ArrayBuffer => Buffer.allocUnsafeSlow(numBytes).buffer;
