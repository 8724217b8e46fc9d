import type { KvTier } from '../../protocol/kv_store.js';
import type { TierCounts } from '../../protocol/kv_use.js';

/** Counts that grow. */
export type TierCounter = { -readonly [Key in keyof TierCounts]: TierCounts[Key] };

/** Nothing happened yet. */
export const noTierCounts = (tier: KvTier): TierCounter => ({
  ...{ tier, numQueries: 0, numHits: 0, numLoaded: 0, loadedBytes: 0 },
  ...{ numStored: 0, storedBytes: 0, numLost: 0 },
});
