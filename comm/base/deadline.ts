/** Deadlines that count only time in which this process's own event loop ran. */
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
  /** Its neighbours among those that wait for the same ticks. */
  previous: Deadline | undefined;
  next: Deadline | undefined;
  private readonly lastTick: number;
  private isOver = false;

  /** `timeoutMs` as `checkTimeout` allows it. */
  constructor(
    timeoutMs: number,
    private readonly onExpired: () => void,
    private readonly ticks = new Ticks(timeoutMs),
  ) {
    this.lastTick = ticks.join(this);
  }

  /** Idempotent; after it `onExpired` is never called. */
  cancel(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.ticks.leave(this);
  }

  /** Whether this many ticks are enough. */
  isDueAt(tick: number): boolean {
    return tick >= this.lastTick;
  }

  /** For its ticks: the time is over. */
  expire(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onExpired();
  }
}

/**
 * Deadlines that share their timers, one per length: a call that lasts microseconds starts none. A deadline that begins in the middle of a tick
 * doesn't count it, so it ends up to a tenth late, never early.
 */
export class DeadlineWheel {
  /** Those whose timers run, by length. */
  private readonly byLength = new Map<number, Ticks>();

  /** As a `Deadline` of its own. */
  start(timeoutMs: number, onExpired: () => void): Deadline {
    let ticks = this.byLength.get(timeoutMs);
    if (ticks === undefined) {
      ticks = new Ticks(timeoutMs, () => this.byLength.delete(timeoutMs));
      this.byLength.set(timeoutMs, ticks);
    }
    return new Deadline(timeoutMs, onExpired, ticks);
  }

  /** Stops the timers; the deadlines that still run never expire. */
  close(): void {
    for (const ticks of this.byLength.values()) ticks.stop();
  }
}

/** The ticks of all deadlines of one length. */
class Ticks {
  private readonly tickMs: number;
  /** A list in the order in which they expire, since a Set of objects that come and go makes a new table every few of them. */
  private first: Deadline | undefined;
  private last: Deadline | undefined;
  private timer: NodeJS.Timeout | undefined;
  private numTicks = 0;
  private wasUsed = false;

  /** With `onIdle` the timer goes on until nobody joined for a whole tick, and it is told then; without, it ends with the last deadline. */
  constructor(
    timeoutMs: number,
    private readonly onIdle?: () => void,
  ) {
    this.tickMs = timeoutMs / NUM_TICKS;
  }

  /** Returns the tick at which a deadline that begins now is over. */
  join(deadline: Deadline): number {
    const isStarting = this.timer === undefined;
    if (this.timer === undefined) this.timer = setTimeout(() => this.tick(), this.tickMs);
    else if (this.first === undefined) this.timer.ref();
    deadline.previous = this.last;
    if (this.last === undefined) this.first = deadline;
    else this.last.next = deadline;
    this.last = deadline;
    this.wasUsed = true;
    return this.numTicks + NUM_TICKS + (isStarting ? 0 : 1);
  }

  leave(deadline: Deadline): void {
    this.remove(deadline);
    this.rest();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.onIdle?.();
  }

  private tick(): void {
    this.numTicks++;
    if (!this.wasUsed && this.first === undefined) return this.stop();
    this.wasUsed = false;
    this.timer!.refresh();
    const due: Deadline[] = [];
    while (this.first?.isDueAt(this.numTicks) === true) {
      due.push(this.first);
      this.remove(this.first);
    }
    if (due.length === 0) return;
    this.rest();
    const expire = (): void => due.forEach((deadline) => deadline.expire());
    setImmediate(() => setImmediate(expire));
  }

  private remove(deadline: Deadline): void {
    const { previous, next } = deadline;
    if (previous !== undefined) previous.next = next;
    else if (this.first === deadline) this.first = next;
    if (next !== undefined) next.previous = previous;
    else if (this.last === deadline) this.last = previous;
    deadline.previous = deadline.next = undefined;
  }

  /** While nobody waits, the timer doesn't keep the process alive. */
  private rest(): void {
    if (this.first !== undefined || this.timer === undefined) return;
    if (this.onIdle === undefined) this.stop();
    else this.timer.unref();
  }
}

/** @throws CommError INVALID_ARGUMENT unless `timeoutMs` is a positive number that a timer can count. */
export function checkTimeout(timeoutMs: number): number {
  if (timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS) return timeoutMs;
  throw new CommError('INVALID_ARGUMENT', `timeoutMs is ${timeoutMs}; pass milliseconds from 1 to ${MAX_TIMEOUT_MS}`);
}
