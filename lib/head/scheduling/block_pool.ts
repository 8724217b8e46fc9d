/**
 * Ids of one rank's KV blocks: pure accounting at the head; tensors appear on the rank when a block is first written.
 * Why: docs/decisions/memory.md#kv-blocks-are-reserved-for-the-whole-output
 */
export class BlockPool {
  private readonly free: number[];
  readonly numBlocks: number;

  constructor(numBlocks: number) {
    this.numBlocks = numBlocks;
    this.free = Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i); // lowest ids first
  }

  get numFree(): number {
    return this.free.length;
  }

  /** That many block ids, or null when fewer are free. */
  take(count: number): number[] | null {
    return count > this.free.length ? null : this.free.splice(this.free.length - count).reverse();
  }

  give(ids: readonly number[]): void {
    this.free.push(...ids);
  }
}
