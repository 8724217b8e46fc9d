import type { FoundBlock, KvTier } from '../../protocol/kv_store.js';
import type { Pins } from '../scheduling/blocks/pins.js';
import type { StoredBlocks } from '../scheduling/blocks/stored_blocks.js';
import type { KeyOrder } from './store_orders.js';
import type { TierUse } from '../../protocol/kv_use.js';
import type { TierCounter } from './tier_counts.js';
import { TierShelf, type TierRoom } from './tier_shelf.js';

/** A block in a tier. */
export interface TieredBlock {
  readonly tier: KvTier;
  /** Its bytes bring the state behind its last token along. */
  readonly hasState: boolean;
}

/** What tiers are, and what they have to do with. */
export interface TierLedgerParts {
  /** The nearest first; at least one. */
  readonly rooms: readonly TierRoom[];
  /** Keys that leave the last tier after all others. */
  readonly pins: Pins;
  /** Whether the rank's cache has what a key stands for. */
  readonly isCached: (key: string) => boolean;
  /** By tier, what comes of it on all ranks. */
  readonly counters: readonly TierCounter[];
}

/**
 * The tiers of one rank as the head counts them: what leaves the cache goes into the first, what that has no room for into the next, least recently used first. Pure
 * bookkeeping: what the rank is to be told comes out of {@link takeOrders}, in order with what its cache is to keep and forget.
 * Why: docs/decisions/kv_store.md#what-leaves-goes-down
 */
export class TierLedger {
  private readonly shelves: readonly TierShelf[];
  /** Key → loads that it is held for. */
  private readonly numHolders = new Map<string, number>();
  private orders: KeyOrder[] = [];
  private numChanges = 0;
  /** Null: nobody follows what is there. */
  private follower: StoredBlocks | null = null;

  constructor(private readonly parts: TierLedgerParts) {
    this.shelves = parts.rooms.map((room) => new TierShelf(room));
  }

  /** Another number whenever {@link find} may answer otherwise. */
  get version(): number {
    return this.numChanges;
  }

  /** What lies in each tier. */
  get use(): TierUse[] {
    return this.shelves.map(({ room: { tier, maxBytes }, size: numBlocks, numBytes }) => ({
      ...{ tier, numBlocks, numBytes, maxBytes },
    }));
  }

  /** Keys that are held. */
  get numHeld(): number {
    return this.numHolders.size;
  }

  /** In the nearest tier that has it. Null: none has. */
  find(key: string): TieredBlock | null {
    for (const shelf of this.shelves) {
      const hasState = shelf.stateOf(key);
      if (hasState !== null) return { tier: shelf.room.tier, hasState };
    }
    return null;
  }

  /**
   * The cache forgets a block, or the state that it keeps. True: the rank is to keep it, and the first tier has it from now on. False: it isn't read out of the cache, because
   * as much is there, or there is no room.
   */
  put(key: string, hasState: boolean): boolean {
    const isKept = this.keep(key, hasState);
    if (!isKept && this.find(key) === null) this.parts.pins.drop(key);
    return isKept;
  }

  /** What is loaded isn't moved or dropped. */
  hold(keys: readonly string[]): void {
    for (const key of keys) this.numHolders.set(key, (this.numHolders.get(key) ?? 0) + 1);
  }

  /** What {@link hold} held, in order of position, isn't loaded any more; the first `numLanded` of them are in the cache now: memory gives them up. */
  release(keys: readonly string[], numLanded: number): void {
    for (const [i, key] of [...keys.entries()].reverse()) {
      const numLeft = this.numHolders.get(key)! - 1;
      if (numLeft > 0) this.numHolders.set(key, numLeft);
      else this.numHolders.delete(key);
      if (i < numLanded) this.land(key, numLeft > 0);
    }
  }

  /** The rank says that these are in no tier. What was put there since it said so is dropped. */
  lose(keys: readonly string[]): void {
    for (const key of keys) {
      for (const [level, shelf] of this.shelves.entries()) {
        if (shelf.stateOf(key) === null) continue;
        this.parts.counters[level]!.numLost++;
        this.drop(level, key);
      }
    }
  }

  /** What the rank's disk has of an earlier life, least recently used first. Of what there isn't room for, the first ones are dropped. */
  admit(blocks: readonly FoundBlock[]): void {
    const level = this.shelves.findIndex(({ room }) => room.tier === 'disk');
    const shelf = this.shelves[level];
    for (const { key, hasState } of shelf === undefined ? [] : blocks) {
      if (shelf!.stateOf(key) !== null) continue; // it was written again since
      if (this.makeRoom(level, hasState)) this.add(level, key, hasState);
      else this.orders.push({ kind: 'drop', tier: 'disk', key });
    }
  }

  /** These are dropped, where they are and nobody holds them. */
  remove(keys: readonly string[]): void {
    for (const key of keys) {
      if (this.numHolders.has(key)) continue;
      for (const [level, shelf] of this.shelves.entries()) if (shelf.stateOf(key) !== null) this.drop(level, key);
    }
  }

  /** The rank has no such tier, or not any more. */
  abandon(tier: KvTier): void {
    const level = this.shelves.findIndex(({ room }) => room.tier === tier);
    const shelf = this.shelves[level];
    shelf?.close();
    for (const key of shelf?.keys ?? []) this.drop(level, key);
  }

  /** All is dropped. */
  clear(): void {
    for (const [level, shelf] of this.shelves.entries()) for (const key of shelf.keys) this.drop(level, key);
  }

  /** Tells `follower` of all keys that are there, and of those that come and go from now on. */
  follow(follower: StoredBlocks): void {
    this.follower = follower;
    for (const key of this.allKeys()) follower.add(key);
  }

  /** All is gone, with the rank. */
  leave(): void {
    for (const key of this.allKeys()) this.follower?.remove(key);
    this.follower = null;
  }

  /** What the rank is to be told since the last call. */
  takeOrders(): readonly KeyOrder[] {
    const { orders } = this;
    this.orders = [];
    return orders;
  }

  /** Into the first tier, unless that or a lower one has as much of it. */
  private keep(key: string, hasState: boolean): boolean {
    const [first] = this.shelves;
    const known = this.find(key);
    if (known !== null && (known.hasState || !hasState)) {
      for (const shelf of this.shelves) shelf.use(key);
      // What has a state below isn't hidden by what has none.
      if (first!.stateOf(key) !== null || known.hasState !== hasState) return false;
    } else if (known !== null && this.numHolders.has(key)) return false; // what is being loaded stays what it is
    if (!this.makeRoom(0, hasState)) return false;
    this.store(0, key, hasState);
    return true;
  }

  private makeRoom(level: number, hasState: boolean): boolean {
    const shelf = this.shelves[level]!;
    if (!shelf.canHold(hasState)) return false;
    while (!shelf.hasRoom(hasState)) {
      const victim = this.victimOf(level);
      if (victim === null) return false;
      this.moveDown(level, victim);
    }
    return true;
  }

  /** Pinned ones leave the last tier last. */
  private victimOf(level: number): string | null {
    const shelf = this.shelves[level]!;
    const isHeld = (key: string): boolean => this.numHolders.has(key);
    const isLast = level === this.shelves.length - 1;
    const loose = isLast ? shelf.leastRecent((key) => isHeld(key) || this.parts.pins.has(key)) : null;
    return loose ?? shelf.leastRecent(isHeld);
  }

  /** To the next tier, unless that has as much of it; where there is no room either, it is dropped. */
  private moveDown(level: number, key: string): void {
    const hasState = this.shelves[level]!.stateOf(key)!;
    const below = this.shelves[level + 1]?.stateOf(key) ?? null;
    const isBelow = below !== null && (below || !hasState);
    const goesDown = !isBelow && level + 1 < this.shelves.length && this.makeRoom(level + 1, hasState);
    if (!goesDown) return this.drop(level, key);
    this.orders.push({ kind: 'demote', key });
    this.store(level + 1, key, hasState);
    this.shelves[level]!.remove(key);
  }

  private store(level: number, key: string, hasState: boolean): void {
    const counter = this.parts.counters[level]!;
    counter.numStored++;
    counter.storedBytes += this.shelves[level]!.room.bytesOf(hasState);
    this.add(level, key, hasState);
  }

  private add(level: number, key: string, hasState: boolean): void {
    const isNew = this.find(key) === null;
    this.shelves[level]!.add(key, hasState);
    this.numChanges++;
    if (isNew) this.follower?.add(key);
  }

  private drop(level: number, key: string): void {
    const shelf = this.shelves[level]!;
    shelf.remove(key);
    this.numChanges++;
    this.orders.push({ kind: 'drop', tier: shelf.room.tier, key });
    if (this.find(key) !== null) return;
    this.follower?.remove(key);
    if (!this.parts.isCached(key)) this.parts.pins.drop(key);
  }

  /** It is in the cache. */
  private land(key: string, isHeld: boolean): void {
    const from = this.shelves.findIndex((shelf) => shelf.stateOf(key) !== null);
    if (from >= 0) {
      const shelf = this.shelves[from]!;
      const counter = this.parts.counters[from]!;
      counter.numLoaded++;
      counter.loadedBytes += shelf.room.bytesOf(shelf.stateOf(key)!);
    }
    for (const [level, shelf] of this.shelves.entries()) {
      if (shelf.room.tier === 'ram' && !isHeld && shelf.stateOf(key) !== null) this.drop(level, key);
      else shelf.use(key);
    }
  }

  private allKeys(): Set<string> {
    return new Set(this.shelves.flatMap((shelf) => shelf.keys));
  }
}
