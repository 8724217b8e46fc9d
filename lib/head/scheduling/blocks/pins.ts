/**
 * Blocks of one rank that stay for a time, by their keys, although nobody holds them: a conversation whose next turn is expected. Pure bookkeeping; times are
 * milliseconds of any clock that doesn't go back. Why: docs/decisions/kv_store.md#a-pin-outlasts-pressure-not-need
 */
export class Pins {
  /** Key → when its time is over. */
  private readonly until = new Map<string, number>();
  /** Nothing is over before. */
  private nextMs = Infinity;

  /** @param most keys that are pinned at once: what would be more isn't */
  constructor(readonly most: number) {}

  /** How many there are. */
  get size(): number {
    return this.until.size;
  }

  /** Whether `key` stays. */
  has(key: string): boolean {
    return this.until.has(key);
  }

  /**
   * Keys stay until then, or longer where they did already. In order of position: where there isn't room for all, those that others build on are pinned. Returns how many
   * aren't.
   */
  add(keys: readonly string[], untilMs: number): number {
    for (const [i, key] of keys.entries()) {
      const before = this.until.get(key);
      if (before === undefined && this.until.size >= this.most) return keys.length - i;
      this.until.set(key, Math.max(before ?? 0, untilMs));
      this.nextMs = Math.min(this.nextMs, untilMs);
    }
    return 0;
  }

  /** Keys whose time is over: they are pinned no more. Behind those that build on them, as an order of eviction wants it. */
  expire(nowMs: number): string[] {
    if (nowMs < this.nextMs) return [];
    const over = [...this.until].flatMap(([key, untilMs]) => (untilMs <= nowMs ? [key] : []));
    for (const key of over) this.until.delete(key);
    let nextMs = Infinity;
    for (const untilMs of this.until.values()) nextMs = Math.min(nextMs, untilMs);
    // No earlier than that, so that many pins of one second are looked through once.
    this.nextMs = Math.max(nextMs, nowMs + LOOK_MS);
    return over.reverse();
  }

  /** What it stands for is gone all the same: nobody keeps a place for it. */
  drop(key: string): void {
    this.until.delete(key);
  }
}

/** A pin may last so much longer. */
const LOOK_MS = 1000;
