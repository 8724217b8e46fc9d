/**
 * How long a thread that waits looks for frames before it sleeps. Looking is worth as long as being woken takes, where the others run meanwhile: where they
 * share a core with whoever looks, or compute for long, it only burns time. So it follows what looking brought: pure.
 */

/** The longest look, in ms: about what it takes to be woken on an idle core. */
const LONGEST_MS = 0.05;
/** Shorter looks bring nothing. */
const SHORTEST_MS = 0.01;
/** Without patience, one wait in so many looks for the longest all the same. */
const TRIALS = 32;

/** Halves with each look in vain, down to none; a look that brought what was awaited makes it whole. */
export class Patience {
  private currentMs = LONGEST_MS;
  private numWaits = 0;

  /** How long to look now, in ms. */
  next(): number {
    if (this.currentMs > 0) return this.currentMs;
    this.numWaits = (this.numWaits + 1) % TRIALS;
    return this.numWaits === 0 ? LONGEST_MS : 0;
  }

  /** What the look brought, where it was one: nothing was there when it began. */
  learn(hasCome: boolean): void {
    if (hasCome) this.currentMs = LONGEST_MS;
    else this.currentMs = this.currentMs / 2 < SHORTEST_MS ? 0 : this.currentMs / 2;
  }
}
