import { BlockLedger } from '../head/scheduling/blocks/block_ledger.js';
import { Pins } from '../head/scheduling/blocks/pins.js';
import type { KvStorePlan } from '../protocol/kv_store_plan.js';
import type { TierCounts, TierUse } from '../protocol/kv_use.js';
import { BlockMemory } from './block_memory.js';
import { PoolTiers } from './pool_tiers.js';

/** What a pool has at a moment. */
export interface KvPoolUse {
  readonly numBlocks: number;
  /** Held by somebody. */
  readonly numUsed: number;
  /** Held by nobody, with known content: they make room. */
  readonly numCached: number;
  /** Pinned for a time, wherever they lie: they make room last. */
  readonly numPinned: number;
  /** What lies below, the nearest first. */
  readonly tiers: readonly TierUse[];
}

/** What a pool counts, and the bytes behind it. */
export class PoolBlocks {
  readonly ledger: BlockLedger;
  readonly memory = new BlockMemory();
  private readonly pins: Pins;
  /** Null: what memory has no room for is forgotten. */
  private tiers: PoolTiers | null = null;

  private constructor(
    numBlocks: number,
    private readonly blockSize: number,
  ) {
    this.pins = new Pins(MAX_PINNED);
    this.ledger = new BlockLedger(numBlocks, this.pins);
  }

  /** `plan`: of what lies below; null: nothing does. `onNotice`: as for tiers. */
  static async open(
    { numBlocks, blockSize }: { readonly numBlocks: number; readonly blockSize: number },
    plan: KvStorePlan | null,
    onNotice: (notice: string) => void,
  ): Promise<PoolBlocks> {
    const blocks = new PoolBlocks(numBlocks, blockSize);
    const { ledger, memory, pins } = blocks;
    const isCached = (key: string): boolean => ledger.find(key) !== undefined;
    if (plan !== null) blocks.tiers = await PoolTiers.open({ plan, memory, pins, isCached, onNotice });
    return blocks;
  }

  /** At this moment. */
  get use(): KvPoolUse {
    this.ledger.unpin(performance.now());
    const { numBlocks, numUsed, numCached } = this.ledger;
    return { numBlocks, numUsed, numCached, numPinned: this.pins.size, tiers: this.tiers?.use ?? [] };
  }

  /** Since the pool was opened. */
  get counts(): readonly TierCounts[] {
    return this.tiers?.counts ?? [];
  }

  /** So many blocks, each with one holder: what is cached goes down. Null: too many are held. */
  take(count: number): number[] | null {
    const { ledger } = this;
    if (count > this.numAvailable) return null;
    ledger.unpin(performance.now());
    const evicted = ledger.evict(count - ledger.numFree);
    this.tiers?.put(evicted);
    if (this.tiers === null) for (const { key } of evicted) this.pins.drop(key);
    this.memory.free(evicted.map(({ block }) => block));
    return ledger.take(count);
  }

  /** The beginning of what these keys stand for that is in memory, with one holder more. */
  matchHere(keys: readonly string[]): number[] {
    const blocks = this.ledger.match(keys.length, (i) => keys[i]!);
    this.ledger.share(blocks);
    return blocks;
  }

  /** As {@link matchHere}, and what goes on from there below comes up. */
  async match(keys: readonly string[]): Promise<readonly number[]> {
    const blocks = this.matchHere(keys);
    const missing = keys.slice(blocks.length);
    const { tiers } = this;
    if (tiers === null || missing.length === 0) return blocks;
    const coming = missing.slice(0, Math.min(tiers.numOf(missing), this.numAvailable));
    tiers.count(missing.length * this.blockSize, coming, this.blockSize);
    return coming.length === 0 ? blocks : [...blocks, ...(await this.lift(coming, tiers))];
  }

  /** Blocks are full of what keys stand for. */
  seal(blocks: readonly number[], keys: readonly string[]): void {
    for (const [i, block] of blocks.entries()) this.ledger.seal(block, keys[i]!);
  }

  /** What keys stand for stays so long once nobody holds it. */
  pin(keys: readonly string[], ms: number): void {
    this.ledger.pin(keys, performance.now() + ms);
  }

  /** One holder less, of blocks in order of position. */
  release(blocks: readonly number[]): void {
    this.memory.free(this.ledger.release(blocks));
  }

  /** Forgets what nobody holds; returns how many blocks of memory are free now. */
  drop(keys: readonly string[]): number {
    const freed = this.ledger.drop(keys);
    this.memory.free(freed);
    this.tiers?.remove(keys);
    for (const key of keys) if (this.ledger.find(key) === undefined) this.pins.drop(key);
    return freed.length;
  }

  /** Idempotent: memory is empty then. */
  async close(): Promise<void> {
    await this.tiers?.close();
    this.memory.clear();
  }

  private get numAvailable(): number {
    return this.ledger.numFree + this.ledger.numCached;
  }

  /** Blocks with one holder each, as many as came. */
  private async lift(keys: readonly string[], tiers: PoolTiers): Promise<readonly number[]> {
    tiers.hold(keys); // also while room is made for them
    const blocks = this.take(keys.length)!;
    const numThere = await tiers.load(blocks.map((block, i) => ({ block, key: keys[i]! })));
    const there = blocks.slice(0, numThere);
    this.seal(there, keys);
    tiers.release(keys, numThere);
    this.release(blocks.slice(numThere));
    return there;
  }
}

/** Each takes some hundred bytes. */
const MAX_PINNED = 2 ** 18;
