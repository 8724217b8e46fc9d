import type { KeyedBlock } from '../../../protocol/kv_store.js';
import { LruList } from './lru_list.js';
import { Pins } from './pins.js';
import type { StoredBlocks } from './stored_blocks.js';

/**
 * One rank's KV blocks as the head counts them. A block is *used* while sequences hold it, *cached* when nobody does and its content is known, so
 * that a later sequence may begin with it, and *free* otherwise. Pure bookkeeping: the bytes are the rank's, which keeps a block until it is told that
 * the block is free.
 * Why: docs/decisions/memory.md#kv-blocks-are-taken-as-sequences-grow
 */
export class BlockLedger {
  private readonly free: number[];
  /** Cached ones, least recently used first; of one sequence's, the deepest first, since those before it are worth more. */
  private readonly cached: LruList;
  /** Cached ones that are pinned, in the same order. */
  private readonly pinned: LruList;
  /** Used block → sequences that hold it. */
  private readonly numHolders = new Map<number, number>();
  /** Of sealed blocks, both ways. */
  private readonly keyOf = new Map<number, string>();
  private readonly blocksOf = new Map<string, number[]>();
  private numChanges = 0;
  /** Null: nobody follows what is there. */
  private follower: StoredBlocks | null = null;

  /** @param pins which keys stay longer, and whose owner drops what is gone; default: none do */
  constructor(
    readonly numBlocks: number,
    private readonly pins = new Pins(0),
  ) {
    this.free = Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i); // lowest ids first
    this.cached = new LruList(numBlocks);
    this.pinned = new LruList(numBlocks);
  }

  get numFree(): number {
    return this.free.length;
  }

  /** Pinned ones too. */
  get numCached(): number {
    return this.cached.size + this.pinned.size;
  }

  /** Cached ones that are pinned. */
  get numPinned(): number {
    return this.pinned.size;
  }

  get numUsed(): number {
    return this.numHolders.size;
  }

  /** How many hold a block. */
  numHoldersOf(block: number): number {
    return this.numHolders.get(block) ?? 0;
  }

  /** What a block holds; undefined: that isn't known. */
  keyFor(block: number): string | undefined {
    return this.keyOf.get(block);
  }

  /** Another number whenever {@link match} may find something else. */
  get version(): number {
    return this.numChanges;
  }

  /** That many blocks, each with one holder, or null when fewer are free: {@link evict} makes room. */
  take(count: number): number[] | null {
    if (count > this.free.length) return null;
    const blocks = this.free.splice(this.free.length - count).reverse();
    for (const block of blocks) this.numHolders.set(block, 1);
    return blocks;
  }

  /** The content of up to `count` cached blocks is forgotten, of pinned ones last; returns them, with what they held: they are free. */
  evict(count: number): KeyedBlock[] {
    const evicted: KeyedBlock[] = [];
    while (evicted.length < count) {
      const block = this.cached.shift() ?? this.pinned.shift();
      if (block === undefined) break;
      evicted.push({ block, key: this.keyOf.get(block)! });
      this.forget(block);
    }
    return evicted;
  }

  /** The content of cached blocks with these keys is forgotten; returns them: they are free. */
  drop(keys: readonly string[]): number[] {
    const blocks = keys.flatMap((key) => (this.blocksOf.get(key) ?? []).filter((block) => this.isCached(block)));
    for (const block of blocks) {
      this.cached.remove(block);
      this.pinned.remove(block);
      this.forget(block);
    }
    return blocks;
  }

  /** Used or cached blocks get one holder more. */
  share(blocks: readonly number[]): void {
    for (const block of blocks) {
      this.cached.remove(block);
      this.pinned.remove(block);
      this.numHolders.set(block, (this.numHolders.get(block) ?? 0) + 1);
    }
  }

  /** Blocks, in order of position, count as used now: as {@link share} and {@link release} would have it. */
  touch(blocks: readonly number[]): void {
    for (const block of blocks.toReversed()) if (this.cached.has(block)) this.cached.add(block);
  }

  /** Blocks, in order of position, get one holder less; returns those that are free now. */
  release(blocks: readonly number[]): number[] {
    const freed: number[] = [];
    for (const block of blocks.toReversed()) {
      const numLeft = this.numHolders.get(block)! - 1;
      this.numHolders.set(block, numLeft);
      if (numLeft > 0) continue;
      this.numHolders.delete(block);
      if (this.keep(block)) continue;
      this.forget(block);
      freed.push(block);
    }
    return freed.reverse();
  }

  /** Tells `follower` of all keys that are there, and of those that come and go from now on. */
  follow(follower: StoredBlocks): void {
    this.follower = follower;
    for (const key of this.blocksOf.keys()) follower.add(key);
  }

  /** All that is there is gone, with the rank. */
  lose(): void {
    for (const key of this.blocksOf.keys()) this.follower?.remove(key);
    this.follower = null;
  }

  /** What a sealed block holds; undefined: it isn't sealed. */
  keyAt(block: number): string | undefined {
    return this.keyOf.get(block);
  }

  /** A block that contains what `key` stands for: of equal ones the one that was sealed first, among those that are preferred if there are any. */
  find(key: string, isPreferred?: (block: number) => boolean): number | undefined {
    const equal = this.blocksOf.get(key);
    return (isPreferred && equal?.find(isPreferred)) ?? equal?.[0];
  }

  /** A used block is full of what `key` stands for (block_keys.ts), and stays so until it is free: {@link match} finds it. */
  seal(block: number, key: string): void {
    if (this.keyOf.has(block)) return;
    this.numChanges++;
    this.keyOf.set(block, key);
    const equal = this.blocksOf.get(key);
    if (equal !== undefined) return void equal.push(block);
    this.blocksOf.set(key, [block]);
    this.follower?.add(key);
  }

  /** Blocks that contain what the first of `numKeys` keys stand for, up to the first key without one; each as {@link find} finds it. */
  match(numKeys: number, keyAt: (index: number) => string, isPreferred?: (block: number) => boolean): number[] {
    const matching: number[] = [];
    while (matching.length < numKeys) {
      const block = this.find(keyAt(matching.length), isPreferred);
      if (block === undefined) break;
      matching.push(block);
    }
    return matching;
  }

  /** How many of these are cached, pinned ones too. */
  numCachedOf(blocks: readonly number[]): number {
    return blocks.reduce((sum, block) => sum + Number(this.isCached(block)), 0);
  }

  /** How many of these are cached and pinned. */
  numPinnedOf(blocks: readonly number[]): number {
    return blocks.reduce((sum, block) => sum + Number(this.pinned.has(block)), 0);
  }

  /** These keys, in order of position, stay until then where they are here; used blocks once nobody holds them any more. Returns how many there is no room for. */
  pin(keys: readonly string[], untilMs: number): number {
    const numRefused = this.pins.add(keys, untilMs);
    for (const key of keys.toReversed()) this.sort(key);
    return numRefused;
  }

  /** What was pinned up to now is as others are, and counts as used now. */
  unpin(nowMs: number): void {
    for (const key of this.pins.expire(nowMs)) this.sort(key);
  }

  /**
   * Whether a block that nobody holds any more is cached now. One of several equal blocks is enough, and it counts as used now: otherwise it might go
   * before the blocks behind it, which nobody would find any more.
   */
  private keep(block: number): boolean {
    const key = this.keyOf.get(block);
    if (key === undefined) return false;
    const other = this.blocksOf.get(key)!.find((each) => each !== block);
    if (other === undefined || this.isCached(other)) this.rest(other ?? block, key);
    return other === undefined;
  }

  private isCached(block: number): boolean {
    return this.cached.has(block) || this.pinned.has(block);
  }

  /** Nobody holds the block: it is the last one that makes room, among those as it is. */
  private rest(block: number, key: string): void {
    const [to, from] = this.pins.has(key) ? [this.pinned, this.cached] : [this.cached, this.pinned];
    from.remove(block);
    to.add(block);
  }

  /** A key is pinned now, or isn't any more. */
  private sort(key: string): void {
    for (const block of this.blocksOf.get(key) ?? []) if (this.isCached(block)) this.rest(block, key);
  }

  private forget(block: number): void {
    this.free.push(block);
    const key = this.keyOf.get(block);
    if (key === undefined) return;
    this.numChanges++;
    this.keyOf.delete(block);
    const others = this.blocksOf.get(key)!.filter((each) => each !== block);
    if (others.length > 0) return void this.blocksOf.set(key, others);
    this.blocksOf.delete(key);
    this.follower?.remove(key);
  }
}
