/** Which blocks the requests hold that this router sent somewhere: they are there, or about to be, before any event tells so, and can't be evicted. */
import type { BlockKey } from '../base/block_events.js';
import type { PromptBlocks } from './pool/named_blocks.js';

/** Of one instance. */
export class BlocksInFlight {
  /** Key → requests. */
  private readonly holders = new Map<BlockKey, number>();

  /** Blocks, each counted once however many requests share it. */
  get size(): number {
    return this.holders.size;
  }

  /** A request was sent. */
  add(blocks: PromptBlocks): void {
    for (let i = 0; i < blocks.numBlocks; i++) {
      this.holders.set(blocks.at(i), (this.holders.get(blocks.at(i)) ?? 0) + 1);
    }
  }

  /** One that was added is over. */
  remove(blocks: PromptBlocks): void {
    for (let i = 0; i < blocks.numBlocks; i++) {
      const left = this.holders.get(blocks.at(i))! - 1;
      if (left > 0) this.holders.set(blocks.at(i), left);
      else this.holders.delete(blocks.at(i));
    }
  }

  /** How many of a prompt's first blocks are held. */
  numMatching(blocks: PromptBlocks): number {
    let count = 0;
    while (count < blocks.numBlocks && this.holders.has(blocks.at(count))) count++;
    return count;
  }
}
