/** What happens when, in virtual time: of things at one moment that which was said first. */
export class Clock {
  nowMs = 0;
  /** That which is next is the last. */
  private readonly queue: { readonly atMs: number; readonly act: () => void }[] = [];

  /** Has something happen later. */
  after(ms: number, act: () => void): void {
    const atMs = this.nowMs + ms;
    let [from, to] = [0, this.queue.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.queue[middle]!.atMs > atMs) from = middle + 1;
      else to = middle;
    }
    this.queue.splice(from, 0, { atMs, act });
  }

  /** Until nothing more happens. */
  run(): void {
    for (let next = this.queue.pop(); next !== undefined; next = this.queue.pop()) {
      this.nowMs = next.atMs;
      next.act();
    }
  }
}
