/** How long one isn't asked that was waited for in vain; then twice as long, each time. */
const FIRST_MS = 10_000;
const MOST_MS = 600_000;
/** Who was late longest ago is forgotten for one more. */
const MAX_SOURCES = 1024;

interface LateSource {
  untilMs: number;
  forMs: number;
  /** Somebody waits for it, to see whether it answers again. */
  isTried: boolean;
}

/**
 * Sources of blocks that didn't answer in time: whoever asked one again at once would wait as long, and hold blocks meanwhile. When its time is over one at a time may.
 * Why: docs/decisions/kv_store.md#who-was-waited-for-in-vain
 */
export class Shunned {
  private readonly late = new Map<string, LateSource>();

  /** `nowMs`: of a clock that doesn't go back. */
  constructor(private readonly nowMs: () => number) {}

  /** Whether it may be asked now; whoever does says then what came of it. */
  mayAsk(name: string): boolean {
    const source = this.late.get(name);
    if (source === undefined) return true;
    if (source.isTried || this.nowMs() < source.untilMs) return false;
    source.isTried = true;
    return true;
  }

  /** It answered, whatever it said. */
  answered(name: string): void {
    this.late.delete(name);
  }

  /** Nobody waited for its answer. */
  leave(name: string): void {
    const source = this.late.get(name);
    if (source !== undefined) source.isTried = false;
  }

  /** It was waited for in vain. */
  wasLate(name: string): void {
    const known = this.late.get(name);
    // Others that had begun to wait as well count once.
    if (known !== undefined && !known.isTried) return;
    const forMs = Math.min(known === undefined ? FIRST_MS : 2 * known.forMs, MOST_MS);
    this.late.delete(name);
    this.late.set(name, { untilMs: this.nowMs() + forMs, forMs, isTried: false });
    if (this.late.size > MAX_SOURCES) this.late.delete(this.late.keys().next().value!);
  }
}
