/** Which full KV blocks the ranks of a job hold, for whoever follows them from outside: what came and went since the last look, and never more than there is. */

/** Characters of a block's key, a byte each, that name it outside of the job. Why: docs/decisions/cluster.md#a-key-stands-for-all-tokens-before-it */
export const SHORT_KEY_BYTES = 8;

/** What a router knows a block by: the beginning of its key (block_keys.ts), a character per byte. */
export const shortKeyOf = (key: string): string => key.slice(0, SHORT_KEY_BYTES);

/** What changed: no key is in both, and none twice. */
export interface BlockChanges {
  /** No rank had these before. */
  readonly stored: readonly string[];
  /** No rank has these any more. */
  readonly removed: readonly string[];
}

/** Counts ranks per block; keys are short ones. */
export class StoredBlocks {
  /** Key → ranks that have it. */
  private readonly numRanks = new Map<string, number>();
  /** Keys of which {@link take} has told that they are there, and that changed since: whether they were there. */
  private readonly touched = new Map<string, boolean>();

  /** How many there are now. */
  get size(): number {
    return this.numRanks.size;
  }

  /** One rank more has what `key` stands for. */
  add(key: string): void {
    const short = shortKeyOf(key);
    const before = this.numRanks.get(short) ?? 0;
    this.numRanks.set(short, before + 1);
    if (before === 0) this.touch(short, false);
  }

  /** One rank less. */
  remove(key: string): void {
    const short = shortKeyOf(key);
    const left = this.numRanks.get(short)! - 1;
    if (left > 0) return void this.numRanks.set(short, left);
    this.numRanks.delete(short);
    this.touch(short, true);
  }

  /** What changed since the last call; what came and went meanwhile isn't told. */
  take(): BlockChanges {
    const stored: string[] = [];
    const removed: string[] = [];
    for (const [key, wasThere] of this.touched) {
      const isThere = this.numRanks.has(key);
      if (isThere !== wasThere) (isThere ? stored : removed).push(key);
    }
    this.touched.clear();
    return { stored, removed };
  }

  /** All that is there; {@link take} tells what changed since. */
  takeAll(): readonly string[] {
    this.touched.clear();
    return [...this.numRanks.keys()];
  }

  private touch(key: string, wasThere: boolean): void {
    if (!this.touched.has(key)) this.touched.set(key, wasThere);
  }
}
