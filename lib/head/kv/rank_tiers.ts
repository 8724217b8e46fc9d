import type { StoreNews } from '../../protocol/kv_store.js';
import { Pins } from '../scheduling/blocks/pins.js';
import type { StoredBlocks } from '../scheduling/blocks/stored_blocks.js';
import type { TierCounts } from '../../protocol/kv_use.js';
import type { BlockOrigin } from './kv_costs.js';
import { noTierCounts, type TierCounter } from './tier_counts.js';
import { TierLedger } from './tier_ledger.js';
import type { TierRoom } from './tier_shelf.js';

/** The tiers of all ranks, by seat. Pure bookkeeping. */
export class RankTiers {
  /** Null where nobody sits. */
  private readonly ledgers: (TierLedger | null)[];
  /** What ranks said whose epoch hasn't begun here. */
  private early: { readonly rank: number; readonly news: StoreNews }[] = [];
  private readonly counters: readonly TierCounter[];

  /** @param rooms of each rank: the nearest first; none: there are no tiers */
  constructor(
    numRanks: number,
    private readonly rooms: readonly TierRoom[],
  ) {
    this.ledgers = new Array<null>(numRanks).fill(null);
    this.counters = rooms.map(({ tier }) => noTierCounts(tier));
  }

  /** Of all ranks, copies. */
  get counts(): TierCounts[] {
    return this.counters.map((counter) => ({ ...counter }));
  }

  /** Null: there are no tiers, or nobody sits there. */
  of(rank: number): TierLedger | null {
    return this.ledgers[rank] ?? null;
  }

  /** A rank sits there that has nothing yet, but what it said already. `isCached`: whether its cache has a block. */
  seat(rank: number, isCached: (key: string) => boolean, pins = new Pins(0)): void {
    if (this.rooms.length === 0) return;
    this.ledgers[rank] = new TierLedger({ rooms: this.rooms, counters: this.counters, pins, isCached });
    const { early } = this;
    this.early = early.filter((each) => each.rank !== rank);
    for (const each of early) if (each.rank === rank) this.hear(rank, each.news);
  }

  /** A rank is gone, and what it had. */
  leave(rank: number): void {
    this.ledgers[rank]?.leave();
    this.ledgers[rank] = null;
  }

  /** Those are gone whose epoch never began here: what they said is of nobody who sits there later. */
  forget(ranks: readonly number[]): void {
    this.early = this.early.filter(({ rank }) => !ranks.includes(rank));
  }

  /** A rank says what its tiers have, or don't. */
  hear(rank: number, news: StoreNews): void {
    const ledger = this.ledgers[rank];
    if (this.rooms.length === 0) return;
    if (!ledger) return void this.early.push({ rank, news });
    ledger.admit(news.found);
    ledger.lose(news.lost);
    for (const tier of news.gone ?? []) ledger.abandon(tier);
  }

  /** A request is looked for: so many tokens of its prompt aren't in the cache, and so many of those are in each tier. */
  countLookup(numTokens: number, numIn: ReadonlyMap<BlockOrigin, number>): void {
    let numLeft = numTokens;
    for (const counter of this.counters) {
      counter.numQueries += numLeft;
      numLeft -= numIn.get(counter.tier) ?? 0;
    }
  }

  /** So many tokens of it came from there; nothing happens where that is no tier. */
  countHits(origin: BlockOrigin, numTokens: number): void {
    const counter = this.counters.find(({ tier }) => tier === origin);
    if (counter !== undefined) counter.numHits += numTokens;
  }

  /** Tells `follower` of all keys that are there, and of those that come and go from now on. */
  follow(follower: StoredBlocks): void {
    for (const ledger of this.ledgers) ledger?.follow(follower);
  }
}
