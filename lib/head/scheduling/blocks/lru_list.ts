/** Whole numbers 0 … n − 1 in the order in which they were added, each at most once; every change takes the same time, however many there are. */
export class LruList {
  /** Neighbours by number; n stands for both ends. A number that isn't there is its own neighbour. */
  private readonly after: Int32Array;
  private readonly before: Int32Array;
  private readonly end: number;
  private count = 0;

  constructor(n: number) {
    this.end = n;
    this.after = Int32Array.from({ length: n + 1 }, (_, i) => i);
    this.before = this.after.slice();
  }

  /** How many are in. */
  get size(): number {
    return this.count;
  }

  /** Whether it is in. */
  has(value: number): boolean {
    return this.after[value] !== value;
  }

  /** Behind all others; one that is there already moves there. */
  add(value: number): void {
    this.remove(value);
    const last = this.before[this.end]!;
    this.link(last, value);
    this.link(value, this.end);
    this.count++;
  }

  /** Takes one out, where it is in. */
  remove(value: number): void {
    if (!this.has(value)) return;
    this.link(this.before[value]!, this.after[value]!);
    this.link(value, value);
    this.count--;
  }

  /** Takes out the one that was added longest ago; undefined where there is none. */
  shift(): number | undefined {
    const first = this.after[this.end]!;
    if (first === this.end) return undefined;
    this.remove(first);
    return first;
  }

  private link(from: number, to: number): void {
    this.after[from] = to;
    this.before[to] = from;
  }
}
