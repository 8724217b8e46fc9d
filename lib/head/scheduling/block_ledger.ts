import { createHash } from 'node:crypto';

/**
 * One rank's KV blocks as the head counts them: how many sequences hold each, and what full ones contain. Pure bookkeeping: the bytes are the
 * rank's, which writes a block that is new to it and forgets one that nobody holds any more.
 * Why: docs/decisions/memory.md#kv-blocks-are-taken-as-sequences-grow
 */
export class BlockLedger {
  private readonly free: number[];
  /** Block → sequences that hold it; a free one is absent. */
  private readonly numHolders = new Map<number, number>();
  /** Of sealed blocks, both ways. */
  private readonly keyOf = new Map<number, string>();
  private readonly blocksOf = new Map<string, Set<number>>();

  constructor(readonly numBlocks: number) {
    this.free = Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i); // lowest ids first
  }

  get numFree(): number {
    return this.free.length;
  }

  /** That many blocks, each with one holder, or null when fewer are free. */
  take(count: number): number[] | null {
    if (count > this.free.length) return null;
    const blocks = this.free.splice(this.free.length - count).reverse();
    for (const block of blocks) this.numHolders.set(block, 1);
    return blocks;
  }

  /** Blocks that are held get one holder more. */
  share(blocks: readonly number[]): void {
    for (const block of blocks) this.numHolders.set(block, this.numHolders.get(block)! + 1);
  }

  /** Blocks get one holder less; returns those that nobody holds any more. */
  release(blocks: readonly number[]): number[] {
    const freed = blocks.filter((block) => {
      const numLeft = this.numHolders.get(block)! - 1;
      this.numHolders.set(block, numLeft);
      return numLeft === 0;
    });
    for (const block of freed) this.forget(block);
    this.free.push(...freed);
    return freed;
  }

  /** A held block is full of what `key` stands for ({@link blockKeys}), and stays so: {@link match} finds it while it is held. */
  seal(block: number, key: string): void {
    const blocks = this.blocksOf.get(key) ?? new Set();
    this.keyOf.set(block, key);
    this.blocksOf.set(key, blocks.add(block));
  }

  /** Held blocks that contain what the first keys stand for, up to the first key without one; of equal blocks the one that was sealed first. */
  match(keys: readonly string[]): number[] {
    const matching: number[] = [];
    for (const key of keys) {
      const [block] = this.blocksOf.get(key) ?? [];
      if (block === undefined) break;
      matching.push(block);
    }
    return matching;
  }

  private forget(block: number): void {
    this.numHolders.delete(block);
    const key = this.keyOf.get(block);
    if (key === undefined) return;
    this.keyOf.delete(block);
    const equal = this.blocksOf.get(key)!;
    equal.delete(block);
    if (equal.size === 0) this.blocksOf.delete(key);
  }
}

/** Per full block of `blockSize` tokens, a key that stands for its tokens and all before them. */
export function blockKeys(tokenIds: readonly number[], blockSize: number): string[] {
  let key = '';
  return Array.from({ length: Math.floor(tokenIds.length / blockSize) }, (_, i) => {
    const tokens = Int32Array.from(tokenIds.slice(i * blockSize, (i + 1) * blockSize));
    return (key = createHash('sha256').update(key).update(tokens).digest('base64'));
  });
}
