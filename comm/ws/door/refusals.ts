/** What is told of refused connections: each reason once per address, and never more than a few a minute. */
import type { CommError } from '../../base/errors.js';

/** What goes with a refusal. */
export interface RefusedFrom {
  /** The other side's host. */
  readonly address: string;
  /** Refusals since the last one that was told, which were the same or too many. */
  readonly numSuppressed: number;
}

/** Told of a refusal: why, and of whom. */
export type OnRefused = (error: CommError, from: RefusedFrom) => void;

const MAX_PER_MINUTE = 10;
/** Reasons that are remembered; the oldest is forgotten first. */
const MAX_KNOWN = 256;

/** A token bucket behind a memory of what was told. */
export class Refusals {
  private readonly known = new Set<string>();
  private tokens = MAX_PER_MINUTE;
  private refilledAt: number;
  private numSuppressed = 0;

  /** `now` in milliseconds. */
  constructor(
    private readonly tell: OnRefused,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.refilledAt = now();
  }

  /** Tells of a refusal of this address, or counts it where the same was told before or too much was told lately. */
  report(address: string, error: CommError): void {
    const id = `${address} ${error.message}`;
    if (this.known.has(id) || !this.takeToken()) {
      this.numSuppressed++;
      return;
    }
    this.remember(id);
    const numSuppressed = this.numSuppressed;
    this.numSuppressed = 0;
    this.tell(error, { address, numSuppressed });
  }

  private takeToken(): boolean {
    const now = this.now();
    this.tokens = Math.min(MAX_PER_MINUTE, this.tokens + ((now - this.refilledAt) * MAX_PER_MINUTE) / 60_000);
    this.refilledAt = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }

  private remember(id: string): void {
    this.known.add(id);
    if (this.known.size <= MAX_KNOWN) return;
    for (const oldest of this.known) {
      this.known.delete(oldest);
      return;
    }
  }
}
