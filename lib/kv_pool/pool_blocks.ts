import { BlockLedger } from '../head/scheduling/blocks/block_ledger.js';
import { Pins } from '../head/scheduling/blocks/pins.js';
import { BlockMemory } from './block_memory.js';

/** What a pool counts, and the bytes behind it. */
export class PoolBlocks {
  readonly ledger: BlockLedger;
  readonly memory = new BlockMemory();

  constructor(numBlocks: number) {
    this.ledger = new BlockLedger(numBlocks, new Pins(numBlocks));
  }

  /** So many blocks, each with one holder: what is cached makes room. Null: too many are held. */
  take(count: number): number[] | null {
    const { ledger, memory } = this;
    if (count > ledger.numFree + ledger.numCached) return null;
    ledger.unpin(performance.now());
    memory.free(ledger.evict(count - ledger.numFree).map(({ block }) => block));
    return ledger.take(count);
  }

  /** The beginning of what these keys stand for that is here, with one holder more. */
  match(keys: readonly string[]): number[] {
    const blocks = this.ledger.match(keys.length, (i) => keys[i]!);
    this.ledger.share(blocks);
    return blocks;
  }

  /** Blocks are full of what keys stand for. */
  seal(blocks: readonly number[], keys: readonly string[]): void {
    for (const [i, block] of blocks.entries()) this.ledger.seal(block, keys[i]!);
  }

  /** One holder less, of blocks in order of position. */
  release(blocks: readonly number[]): void {
    this.memory.free(this.ledger.release(blocks));
  }

  /** Forgets what nobody holds; returns how many blocks are free now. */
  drop(keys: readonly string[]): number {
    const freed = this.ledger.drop(keys);
    this.memory.free(freed);
    return freed.length;
  }
}
