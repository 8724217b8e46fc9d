/** One direction of a link: bytes leave one after another at its rate, and arrive so much later. Pure: the caller brings the time, and waits. */

/** What a link does to bytes, each way. */
export interface LinkLimits {
  /** From the moment in which a byte has left to the one in which it arrives. */
  readonly delayMs: number;
  /** Null: as fast as it goes. */
  readonly bytesPerSecond: number | null;
}

/** A link that holds nothing up. */
export const NO_LIMITS: LinkLimits = { delayMs: 0, bytesPerSecond: null };

/** What a sender may have waiting in front of a link, as in the buffer of a network card. */
const QUEUED_BYTES = 1024 * 1024;
/** Of a link without a rate: what a machine sends itself in the longest delay. */
const UNPACED_BYTES = 64 * 1024 * 1024;

/** All connections of a direction share one. */
export class Lane {
  /** When all bytes so far have left. */
  private freeAtMs = -Infinity;

  constructor(private readonly limits: LinkLimits) {}

  /** When bytes that come at `nowMs` are at the other end. A link that was idle saves nothing up. */
  pass(numBytes: number, nowMs: number): number {
    const { delayMs, bytesPerSecond } = this.limits;
    const takesMs = bytesPerSecond === null ? 0 : (1000 * numBytes) / bytesPerSecond;
    this.freeAtMs = Math.max(this.freeAtMs, nowMs) + takesMs;
    return this.freeAtMs + delayMs;
  }

  /** Of a connection, on their way or in front of it: more isn't read. */
  get maxHeldBytes(): number {
    const { delayMs, bytesPerSecond } = this.limits;
    return bytesPerSecond === null ? UNPACED_BYTES : QUEUED_BYTES + (bytesPerSecond * delayMs) / 1000;
  }
}
