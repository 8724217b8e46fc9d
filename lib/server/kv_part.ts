/** Keys and values that are kept for later requests: what lies where, and how to have it forgotten. */
import type { EngineStats } from '../head/engine.js';
import type { RankUse } from '../head/scheduling/scheduler.js';
import type { TierCounts } from '../protocol/kv_use.js';
import { ApiError } from './base/api_error.js';
import type { KvAnswer } from './base/kv_answer.js';
import type { ServerContext, ServerPart } from './base/part.js';

/** Who has a key; without any, clients of this machine. */
const config = { access: 'local' } as const;

/** GET /v1/kv, POST /v1/kv/clear, and POST /reset_prefix_cache, as vLLM calls it. */
export const kvPart: ServerPart = (app, context) => {
  app.get('/v1/kv', () => answerOf(context));
  app.post('/v1/kv/clear', { config }, () => clear(context));
  app.post('/reset_prefix_cache', { config }, () => {
    clear(context);
    return {};
  });
};

function answerOf({ engine }: Pick<ServerContext, 'engine'>): KvAnswer {
  const { numPrefixQueries, numPrefixHits, numEvictedBlocks, numRefusedPins, tiers, pool } = engine.stats();
  return {
    block_size: engine.limits.blockSize,
    ranks: engine.load.ranks.map(rankJson),
    cache: {
      ...{ queried_tokens: numPrefixQueries, hit_tokens: numPrefixHits },
      ...{ evicted_blocks: numEvictedBlocks, refused_pins: numRefusedPins },
    },
    tiers: tiers.map(tierJson),
    pool: poolJson(pool),
  };
}

const rankJson = ({
  rank,
  numKvBlocks,
  numUsedBlocks,
  numCachedBlocks,
  numPinnedBlocks,
  tiers,
}: RankUse): KvAnswer['ranks'][number] => ({
  ...{ rank, blocks: numKvBlocks, used_blocks: numUsedBlocks },
  ...{ cached_blocks: numCachedBlocks, pinned_blocks: numPinnedBlocks },
  tiers: tiers.map(({ tier, numBlocks, numBytes, maxBytes }) => ({
    ...{ tier, blocks: numBlocks, bytes: numBytes, max_bytes: maxBytes },
  })),
});

const tierJson = ({ tier, ...counts }: TierCounts): KvAnswer['tiers'][number] => ({
  ...{ tier, queried_tokens: counts.numQueries, hit_tokens: counts.numHits },
  ...{ stored_blocks: counts.numStored, stored_bytes: counts.storedBytes },
  ...{ loaded_blocks: counts.numLoaded, loaded_bytes: counts.loadedBytes, lost_blocks: counts.numLost },
});

function poolJson({ fetched: { rank, instance }, ...counts }: EngineStats['pool']): KvAnswer['pool'] {
  const fetchedJson = (of: typeof rank): KvAnswer['pool']['fetched']['rank'] => ({
    ...{ fetches: of.numFetches, failed: of.numFailed, blocks: of.numBlocks, bytes: of.numBytes },
  });
  return {
    ...{ queried_tokens: counts.numQueries, hit_tokens: counts.numHits },
    fetched: { rank: fetchedJson(rank), instance: fetchedJson(instance) },
    ...{ loans: counts.numLoans, lent_blocks: counts.numLentBlocks },
    ...{ evicted_loans: counts.numEvictedLoans, expired_loans: counts.numExpiredLoans },
  };
}

/** @throws ApiError UNSUPPORTED, CONFLICT */
function clear({ engine }: Pick<ServerContext, 'engine'>): { readonly cleared_blocks: number } {
  if (engine.resetPrefixCache === undefined) {
    throw new ApiError('UNSUPPORTED', 'this engine keeps no prefixes; nothing is to be reset');
  }
  const numBlocks = engine.load.ranks.reduce(
    (sum, { numCachedBlocks, tiers }) => tiers.reduce((own, { numBlocks: n }) => own + n, sum + numCachedBlocks),
    0,
  );
  if (engine.resetPrefixCache()) return { cleared_blocks: numBlocks };
  throw new ApiError('CONFLICT', 'requests run, and nothing was forgotten; ask again when none does');
}
