/** What lies below the caches of ranks, and where keys and values are found, as the page has it. Pure. */
import type { EngineStats } from '../../head/engine.js';
import type { TierUse } from '../../protocol/kv_use.js';
import type { LivePlace, LiveTier } from './messages.js';

/** Without what the page doesn't show. */
export const liveTier = ({ tier, numBlocks, numBytes, maxBytes }: TierUse): LiveTier => ({
  ...{ tier, numBlocks, numBytes, maxBytes },
});

/** Places besides the cache, in the order in which they are asked. */
export function placesOf({ tiers, pool }: Pick<EngineStats, 'tiers' | 'pool'>): LivePlace[] {
  const below = tiers.map(({ tier, numQueries, numHits }) => ({ place: tier, numQueries, numHits }));
  const { numQueries, numHits } = pool;
  return numQueries === 0 ? below : [...below, { place: 'elsewhere', numQueries, numHits }];
}
