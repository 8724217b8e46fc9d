/** A hash table from two whole numbers to one, in typed arrays: a vocabulary has up to half a million pairs, and a Map of them takes seconds. */
export class PairTable {
  /** Three numbers an entry: left, right, value. */
  private entries: Int32Array;
  private mask: number;
  private size = 0;

  /** @param expected how many pairs will come; more of them make it grow */
  constructor(expected: number) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, 2 * expected)));
    this.mask = capacity - 1;
    this.entries = new Int32Array(3 * capacity).fill(-1);
  }

  /** The value of a pair; -1 where it has none. */
  get(left: number, right: number): number {
    const place = this.placeOf(left, right);
    return this.entries[place + 2]!;
  }

  /** Sets the value of a pair. @param value 0 or more */
  set(left: number, right: number, value: number): void {
    const place = this.placeOf(left, right);
    if (this.entries[place + 2] === -1) this.size++;
    this.entries[place] = left;
    this.entries[place + 1] = right;
    this.entries[place + 2] = value;
    if (2 * this.size > this.mask) this.grow();
  }

  /** Where the pair is, or would be. */
  private placeOf(left: number, right: number): number {
    const { entries, mask } = this;
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0;
    slot = (slot ^ (slot >>> 15)) & mask;
    for (;;) {
      const place = 3 * slot;
      if (entries[place + 2] === -1 || (entries[place] === left && entries[place + 1] === right)) return place;
      slot = (slot + 1) & mask;
    }
  }

  private grow(): void {
    const old = this.entries;
    this.mask = 2 * this.mask + 1;
    this.size = 0;
    this.entries = new Int32Array(3 * (this.mask + 1)).fill(-1);
    for (let place = 0; place < old.length; place += 3) {
      if (old[place + 2] !== -1) this.set(old[place]!, old[place + 1]!, old[place + 2]!);
    }
  }
}
