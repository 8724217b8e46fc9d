/** A token bucket in virtual time: pure. */
export interface PacerOptions {
  readonly bytesPerMs: number;
  /** Time that an idle link may catch up: timers come late, and what a late one missed is not lost. */
  readonly burstMs: number;
}

/** One direction of a link: bytes pass one after another at its speed. The caller brings the time, and waits. */
export class Pacer {
  /** When all bytes so far have left. */
  private freeAtMs = -Infinity;

  constructor(private readonly options: PacerOptions) {}

  /** When bytes that come at `nowMs` have passed the link. */
  pass(bytes: number, nowMs: number): number {
    const { bytesPerMs, burstMs } = this.options;
    this.freeAtMs = Math.max(this.freeAtMs, nowMs - burstMs) + bytes / bytesPerMs;
    return this.freeAtMs;
  }
}
