/**
 * KV blocks outside the block cache of a rank: in its tiers, and on their way from other ranks. Why: docs/decisions/kv_store.md#the-head-says-what-lies-where-the-rank-has-the-bytes
 */

/** Where a rank keeps blocks that its cache has no room for, the nearest first. */
export const KV_TIERS = ['ram', 'disk'] as const;
/** One of {@link KV_TIERS}. */
export type KvTier = (typeof KV_TIERS)[number];

/** A block in the cache of a rank, and what it holds: a key of block_keys.ts, a character per byte. */
export interface KeyedBlock {
  readonly block: number;
  readonly key: string;
}

/**
 * Orders about the tiers of a rank, obeyed in the order in which they come, beside its steps: each behind what was to be freed before it came, and before what is
 * to be freed later. A tier holds what was kept or found, and was neither lost, demoted nor dropped: a load changes nothing of that.
 */
export type StoreOrder =
  /** From memory to disk. */
  | { readonly kind: 'demote'; readonly keys: readonly string[] }
  | { readonly kind: 'drop'; readonly tier: KvTier; readonly keys: readonly string[] }
  | { readonly kind: 'load'; readonly order: LoadOrder }
  | { readonly kind: 'cancel_load'; readonly load: number };

/** To fill blocks, which a sequence holds that no step computes, with what lies in tiers. They become blocks in this order, and none behind one that can't be had. */
export interface LoadOrder {
  /** Of this job; reports name it. */
  readonly load: number;
  readonly blocks: readonly KeyedBlock[];
}

/** What came of a {@link LoadOrder} that wasn't cancelled. */
export interface LiftReport {
  readonly load: number;
  /** Blocks that are there, from the first one on. */
  readonly numBlocks: number;
  readonly payloadBytes: number;
  readonly tookMs: number;
  /** Keys that turned out not to be there, or damaged: they are in no tier any more. */
  readonly lost: readonly string[];
}

/** What a rank tells of its tiers besides. */
export interface StoreNews {
  /** In its disk tier since an earlier life, least recently used first; in several messages where there are many. */
  readonly found: readonly FoundBlock[];
  /** They were to be kept, and are not: no room, a full disk. In no tier any more. */
  readonly lost: readonly string[];
  /** Tiers that can't be had, or not any more: nothing is in them, and nothing goes there. Default none. */
  readonly gone?: readonly KvTier[];
  /** What its user should know: what follows “rank N” in a line. Told once. */
  readonly notice?: string;
}

/** A block of an earlier life. */
export interface FoundBlock {
  readonly key: string;
  readonly hasState: boolean;
}
