/** What a pool's memory has no room for: the same account and the same store as those of a rank, without the messages between them. */
import { hash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { kvTierSizes, type KvTiers } from '../config/kv_tiers_schema.js';
import { VERSION } from '../config/package_files.js';
import { RankTiers } from '../head/kv/rank_tiers.js';
import { storeOrdersOf } from '../head/kv/store_orders.js';
import type { TierLedger } from '../head/kv/tier_ledger.js';
import { tierRoomsOf } from '../head/kv/tier_rooms.js';
import type { Pins } from '../head/scheduling/blocks/pins.js';
import type { KeyedBlock, LiftReport, StoreNews } from '../protocol/kv_store.js';
import type { KvStorePlan } from '../protocol/kv_store_plan.js';
import type { TierCounts, TierUse } from '../protocol/kv_use.js';
import { openStore } from '../rank/store/open_store.js';
import type { RankStore } from '../rank/store/rank_store.js';
import type { BlockMemory } from './block_memory.js';

/** What tiers are of, and what they have to do with. */
export interface PoolTiersParts {
  readonly plan: KvStorePlan;
  readonly memory: BlockMemory;
  readonly pins: Pins;
  /** Whether memory has what a key stands for. */
  readonly isCached: (key: string) => boolean;
  /** What its user should know: a line without its end. */
  readonly onNotice: (notice: string) => void;
}

/** What files of a pool mean: equal ones are the same. */
export interface PoolIdentity {
  readonly identity: string;
  readonly blockSize: number;
  readonly blockBytes: number;
}

/** Null: there are no tiers. */
export function poolPlanOf(tiers: KvTiers, { identity, blockSize, blockBytes }: PoolIdentity): KvStorePlan | null {
  const { ramBytes, disk } = kvTierSizes(tiers);
  if (ramBytes === null && disk === null) return null;
  const means = JSON.stringify([VERSION, 'pool', identity, blockSize, blockBytes]);
  const files = disk && { ...disk, identity: hash('sha256', means, 'hex') };
  return { ramBytes, disk: files, rowBytes: blockBytes, stateBytes: 0 };
}

/** A pool is a job with one rank, of this number. */
const SEAT = 0;
/** How long a folder of an earlier life is looked through before the pool is there. */
const LOOK_MS = 10_000;

/** Of one pool. */
export class PoolTiers {
  private readonly tiers: RankTiers;
  private store!: RankStore; // set by open
  private nextLoad = 0;
  /** By load. */
  private readonly loading = new Map<number, (report: LiftReport) => void>();

  private constructor({ plan, pins, isCached }: PoolTiersParts) {
    this.tiers = new RankTiers(SEAT + 1, tierRoomsOf(plan));
    this.tiers.seat(SEAT, isCached, pins);
  }

  /** A disk that can't be had is told of, and the pool goes on without. */
  static async open(parts: PoolTiersParts): Promise<PoolTiers> {
    const tiers = new PoolTiers(parts);
    tiers.store = await openStore(parts.plan, SEAT, {
      cache: parts.memory,
      onLifted: (report) => tiers.lifted(report),
      onNews: (news) => tiers.hear(news, parts.onNotice),
    });
    tiers.store.begin();
    await tiers.store.looked(LOOK_MS);
    await turn(); // the first ones that were found are told
    return tiers;
  }

  /** What lies in each. */
  get use(): readonly TierUse[] {
    return this.ledger.use;
  }

  /** Since the pool was opened; tokens are those that {@link count} was told of. */
  get counts(): readonly TierCounts[] {
    return this.tiers.counts;
  }

  /** Blocks leave memory: called before it forgets them. */
  put(blocks: readonly KeyedBlock[]): void {
    for (const block of blocks) {
      const isKept = this.ledger.put(block.key, false);
      this.order();
      if (isKept) this.store.keep([block]);
    }
  }

  /** How many of these keys, from the first one on, are here. */
  numOf(keys: readonly string[]): number {
    const missing = keys.findIndex((key) => this.ledger.find(key) === null);
    return missing < 0 ? keys.length : missing;
  }

  /** So many tokens were looked for here, and the first of these keys found. */
  count(numTokens: number, keys: readonly string[], blockSize: number): void {
    const numIn = new Map<'ram' | 'disk', number>();
    for (const key of keys) {
      const { tier } = this.ledger.find(key)!;
      numIn.set(tier, (numIn.get(tier) ?? 0) + blockSize);
    }
    this.tiers.countLookup(numTokens, numIn);
    for (const [tier, numFound] of numIn) this.tiers.countHits(tier, numFound);
  }

  /** They are neither moved nor dropped until {@link release}. */
  hold(keys: readonly string[]): void {
    this.ledger.hold(keys);
  }

  /** The first `numLanded` of what was held are in memory now. */
  release(keys: readonly string[], numLanded: number): void {
    this.ledger.release(keys, numLanded);
    this.order();
  }

  /** Fills blocks with what is held here; resolves with how many are there, from the first one on. */
  load(blocks: readonly KeyedBlock[]): Promise<number> {
    const load = this.nextLoad++;
    return new Promise((resolve) => {
      this.loading.set(load, ({ numBlocks }) => resolve(numBlocks));
      this.store.obey({ kind: 'load', order: { load, blocks } });
    });
  }

  /** Forgets what isn't held. */
  remove(keys: readonly string[]): void {
    this.ledger.remove(keys);
    this.order();
  }

  /** Idempotent: what is being loaded isn't, and what was to be written is, for a moment. */
  async close(): Promise<void> {
    await this.store.close();
    for (const [load, resolve] of this.loading) resolve({ load, numBlocks: 0, payloadBytes: 0, tookMs: 0, lost: [] });
  }

  private get ledger(): TierLedger {
    return this.tiers.of(SEAT)!;
  }

  private lifted(report: LiftReport): void {
    this.ledger.lose(report.lost);
    this.order();
    const resolve = this.loading.get(report.load);
    this.loading.delete(report.load);
    resolve?.(report);
  }

  private hear(news: StoreNews, onNotice: (notice: string) => void): void {
    this.tiers.hear(SEAT, news);
    this.order();
    if (news.notice !== undefined) onNotice(news.notice);
  }

  private order(): void {
    for (const order of storeOrdersOf(this.ledger.takeOrders())) this.store.obey(order);
  }
}
