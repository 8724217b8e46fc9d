/** The last of many things, in order, in bounded memory. */

/** Keeps the last `capacity` items, and how many there were. */
export class Ring<Item> {
  private kept: Item[] = [];
  private numPushed = 0;

  constructor(private readonly capacity: number) {}

  /** How many there were so far: what {@link after} counts in. */
  get count(): number {
    return this.numPushed;
  }

  /** Oldest first; a copy. */
  get items(): readonly Item[] {
    return this.kept.slice(-this.capacity);
  }

  /** Adds one; the oldest goes when there are too many. */
  push(item: Item): void {
    this.kept.push(item);
    this.numPushed++;
    // Cut seldom: once per `capacity` items.
    if (this.kept.length >= 2 * this.capacity) this.kept = this.kept.slice(-this.capacity);
  }

  /** Of the items that came after the first `count`, those that are kept. */
  after(count: number): readonly Item[] {
    const numNew = Math.min(this.numPushed - count, this.capacity);
    return numNew <= 0 ? [] : this.kept.slice(-numNew);
  }
}
