import type { JobClock } from '../../../lib/jobs/base/job_bus.js';

/** Time that a test moves: whatever is due happens in order, and what comes of it before the next. */
export class PlayedClock implements JobClock {
  private readonly waiting = new Set<{ readonly atMs: number; readonly act: () => void }>();

  constructor(private nowMs = Date.UTC(2026, 10, 30)) {}

  now(): number {
    return this.nowMs;
  }

  after(ms: number, act: () => void): () => void {
    const own = { atMs: this.nowMs + Math.max(ms, 0), act };
    this.waiting.add(own);
    return () => this.waiting.delete(own);
  }

  /** Lets so much of it pass, or less where `isOver` says so. */
  async pass(ms: number, isOver: () => boolean = () => false): Promise<void> {
    const endMs = this.nowMs + ms;
    for (;;) {
      await new Promise(setImmediate);
      if (isOver()) return;
      let next: { readonly atMs: number; readonly act: () => void } | null = null;
      for (const one of this.waiting) if (one.atMs <= endMs && (next === null || one.atMs < next.atMs)) next = one;
      if (next === null) break;
      this.waiting.delete(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.act();
    }
    this.nowMs = endMs;
  }
}
