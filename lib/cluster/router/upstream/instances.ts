/** The instances that a router knows. */
import type { Upstream } from './upstream.js';

/** Takes turns over a fixed list. */
export class Instances {
  private next = 0;

  constructor(readonly all: readonly Upstream[]) {}

  /** Null: there is none but the excluded. */
  choose(excluded: ReadonlySet<Upstream>): Upstream | null {
    for (let i = 0; i < this.all.length; i++) {
      const upstream = this.all[(this.next + i) % this.all.length]!;
      if (excluded.has(upstream)) continue;
      this.next = (this.next + i + 1) % this.all.length;
      return upstream;
    }
    return null;
  }

  /** Breaks off what runs. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.all.map((upstream) => upstream.close()));
  }
}
