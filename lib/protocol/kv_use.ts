/** What lies in the tiers of ranks at a moment, and what came of them so far: for whoever watches. */
import type { KvTier } from './kv_store.js';

/** What one tier of a rank holds at a moment. */
export interface TierUse {
  readonly tier: KvTier;
  readonly numBlocks: number;
  readonly numBytes: number;
  /** As many as it may have. */
  readonly maxBytes: number;
}

/** What came of one tier of all ranks, since the start: nothing of it gets smaller. */
export interface TierCounts {
  readonly tier: KvTier;
  /** Prompt tokens that were looked for there: neither the cache nor a nearer tier had them. Of each request once. */
  readonly numQueries: number;
  /** Those of them that came from there. */
  readonly numHits: number;
  /** Blocks that were loaded from there. */
  readonly numLoaded: number;
  readonly loadedBytes: number;
  /** Blocks that came to lie there. */
  readonly numStored: number;
  readonly storedBytes: number;
  /** Blocks that turned out not to be there: a full disk, a damaged file. */
  readonly numLost: number;
}
