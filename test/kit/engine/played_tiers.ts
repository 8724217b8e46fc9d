/** The tiers of one rank as a scheduler's orders leave them: what is told must be possible, and never more than may be there. */
import { expect } from 'chai';
import type { Lift } from '../../../lib/head/kv/lift.js';
import type { TierRoom } from '../../../lib/head/kv/tier_shelf.js';
import type { FoundBlock, KeyedBlock, KvTier, StoreOrder } from '../../../lib/protocol/kv_store.js';
import type { HeldBlock, RankCache } from '../../refs/rank_cache.js';

export class PlayedTiers {
  private readonly tiers: ReadonlyMap<KvTier, Map<string, HeldBlock>>;
  /** By tier, what the head may believe to be there still. */
  private readonly lost: ReadonlyMap<KvTier, Set<string>>;

  constructor(private readonly rooms: readonly TierRoom[]) {
    this.tiers = new Map(rooms.map(({ tier }) => [tier, new Map<string, HeldBlock>()]));
    this.lost = new Map(rooms.map(({ tier }) => [tier, new Set<string>()]));
  }

  /** Blocks and bytes by tier. */
  get use(): { readonly tier: KvTier; readonly numBlocks: number; readonly numBytes: number }[] {
    return this.rooms.map(({ tier, bytesOf }) => {
      const blocks = [...this.tiers.get(tier)!.values()];
      const numBytes = blocks.reduce((sum, { state }) => sum + bytesOf(state !== null), 0);
      return { tier, numBlocks: blocks.length, numBytes };
    });
  }

  get keys(): string[] {
    return [...new Set([...this.tiers.values()].flatMap((blocks) => [...blocks.keys()]))];
  }

  obey(order: StoreOrder): void {
    if (order.kind === 'drop') for (const key of order.keys) this.drop(order.tier, key);
    if (order.kind === 'demote') for (const key of order.keys) this.demote(key);
  }

  keep(blocks: readonly KeyedBlock[], cache: RankCache): void {
    for (const { block, key } of blocks) {
      this.put(this.rooms[0]!.tier, key, cache.read(block, cache.keeping.includes(block)));
    }
  }

  /** Fills blocks of a lift; returns how many are there, and what turned out not to be. */
  load({ segments }: Lift, cache: RankCache, isDamaged: (key: string) => boolean) {
    const blocks = segments.flatMap((segment) => segment.blocks);
    const lost: string[] = [];
    const numBlocks = blocks.findIndex(({ block, key }) => {
      const held = this.find(key);
      if (held === null) expect(this.isLost(key), 'what is loaded is there').to.equal(true);
      if (held === null || isDamaged(key)) lost.push(key);
      else cache.place(block, held);
      return lost.length > 0;
    });
    this.lose(lost);
    return { numBlocks: numBlocks < 0 ? blocks.length : numBlocks, lost };
  }

  lose(keys: readonly string[]): void {
    for (const key of keys) {
      for (const [tier, blocks] of this.tiers) if (blocks.delete(key)) this.lost.get(tier)!.add(key);
    }
  }

  /** The rank begins anew, with what is on its disk. */
  restart(): FoundBlock[] {
    for (const keys of this.lost.values()) keys.clear();
    this.tiers.get('ram')?.clear();
    return [...(this.tiers.get('disk') ?? [])].map(([key, { state }]) => ({ key, hasState: state !== null }));
  }

  private demote(key: string): void {
    const block = this.tiers.get('ram')!.get(key);
    this.drop('ram', key);
    if (block === undefined) this.lost.get('disk')!.add(key);
    else this.put('disk', key, block);
  }

  private isLost(key: string): boolean {
    return [...this.lost.values()].some((keys) => keys.has(key));
  }

  private find(key: string): HeldBlock | null {
    for (const { tier } of this.rooms) {
      const block = this.tiers.get(tier)!.get(key);
      if (block !== undefined) return block;
    }
    return null;
  }

  private put(tier: KvTier, key: string, block: HeldBlock): void {
    this.tiers.get(tier)!.set(key, block);
    this.lost.get(tier)!.delete(key);
    const { maxBytes } = this.rooms.find((room) => room.tier === tier)!;
    const { numBytes } = this.use.find((each) => each.tier === tier)!;
    expect(numBytes, `${tier} has room`).to.be.at.most(maxBytes);
  }

  private drop(tier: KvTier, key: string): void {
    const wasThere = this.tiers.get(tier)!.delete(key);
    if (!wasThere) expect(this.lost.get(tier)!.has(key), 'what is dropped is there').to.equal(true);
  }
}
