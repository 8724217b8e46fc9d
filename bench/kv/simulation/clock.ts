/** What happens when, in virtual time: of things at one moment that which was said first. */
export class Clock {
  nowMs = 0;
  private readonly queue: { readonly atMs: number; readonly act: () => void }[] = [];

  /** Has something happen later. */
  after(ms: number, act: () => void): void {
    const atMs = this.nowMs + ms;
    const behind = this.queue.findIndex((each) => each.atMs > atMs);
    this.queue.splice(behind < 0 ? this.queue.length : behind, 0, { atMs, act });
  }

  /** Until nothing more happens. */
  run(): void {
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      this.nowMs = next.atMs;
      next.act();
    }
  }
}
