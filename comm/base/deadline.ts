/** A deadline that counts only time in which this process's own event loop ran. */
import { CommError } from './errors.js';

const NUM_TICKS = 10;
/** The longest that a timer counts. */
export const MAX_TIMEOUT_MS = 0x7fffffff;

/**
 * Calls `onExpired` after `timeoutMs` of running event loop, unless cancelled.
 *
 * Compute blocks a rank's event loop for seconds, and then a plain timer would accuse peers whose frames lie unread in
 * the own socket. So the time is divided into ticks, each of which counts one however late it comes, and at expiry the
 * event loop turns twice more (sockets are read, frames delivered) before anybody is accused.
 */
export class Deadline {
  private readonly tickMs: number;
  private ticksLeft = NUM_TICKS;
  private timer: NodeJS.Timeout | undefined;
  private immediate: NodeJS.Immediate | undefined;

  /** `timeoutMs` as `checkTimeout` allows it. */
  constructor(
    timeoutMs: number,
    private readonly onExpired: () => void,
  ) {
    this.tickMs = timeoutMs / NUM_TICKS;
    this.schedule();
  }

  /** Idempotent; after it `onExpired` is never called. */
  cancel(): void {
    clearTimeout(this.timer);
    if (this.immediate !== undefined) clearImmediate(this.immediate);
  }

  private schedule(): void {
    this.timer = setTimeout(() => {
      this.ticksLeft--;
      if (this.ticksLeft > 0) this.schedule();
      else this.lookAgain();
    }, this.tickMs);
  }

  private lookAgain(): void {
    this.immediate = setImmediate(() => {
      this.immediate = setImmediate(this.onExpired);
    });
  }
}

/** @throws CommError INVALID_ARGUMENT unless `timeoutMs` is a positive number that a timer can count. */
export function checkTimeout(timeoutMs: number): number {
  if (timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS) return timeoutMs;
  throw new CommError('INVALID_ARGUMENT', `timeoutMs is ${timeoutMs}; pass milliseconds from 1 to ${MAX_TIMEOUT_MS}`);
}
