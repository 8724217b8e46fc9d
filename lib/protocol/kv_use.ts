/** What lies in the tiers of ranks at a moment, and what came of them so far: for whoever watches. */
import type { KvTier } from './kv_store.js';

/** One tier of one rank. */
export interface TierUse {
  readonly tier: KvTier;
  readonly numBlocks: number;
  readonly numBytes: number;
  /** As many as it may have. */
  readonly maxBytes: number;
  /** Blocks that are pinned for a time: they make room last. */
  readonly numPinnedBlocks: number;
  /** Tokens that were found there, since the rank came. */
  readonly numHits: number;
}

/** One tier of all ranks, since the start: none gets smaller. */
export interface TierCounts {
  /** Tokens that were looked for there: what the cache, and tiers before it, didn't have. */
  readonly numQueries: number;
  /** Those of them that were found. */
  readonly numHits: number;
  /** Bytes of blocks that went down into it. */
  readonly storedBytes: number;
  /** Bytes of blocks that came up from it. */
  readonly loadedBytes: number;
  /** Blocks that were forgotten because room was needed. */
  readonly numDropped: number;
  /** Blocks that weren't there after all, were damaged, or couldn't be kept. */
  readonly numLost: number;
}

/** By tier, of those that ranks have. */
export type TierTotals = Readonly<Partial<Record<KvTier, TierCounts>>>;
