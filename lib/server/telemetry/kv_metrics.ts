/** Blocks below the KV blocks of ranks, and those that came from other ranks and instances; vLLM's names for what vLLM has of it. */
import type { EngineStats } from '../../head/engine.js';
import type { SchedulerLoad } from '../../head/scheduling/scheduler.js';
import type { TierCounts } from '../../protocol/kv_use.js';
import type { Level, Sample, SeriesMaker, Total } from './series.js';

/** Reads what the engine counted when it is asked to. */
export class KvMetrics {
  private readonly externalQueries: Total;
  private readonly externalHits: Total;
  private readonly pinned: Level<'rank'>;
  private readonly refusedPins: Total;
  private readonly blocks: Level<'rank' | 'tier'>;
  private readonly bytes: Level<'rank' | 'tier'>;
  private readonly capacity: Level<'rank' | 'tier'>;
  private readonly queries: Total<'tier'>;
  private readonly hits: Total<'tier'>;
  private readonly stored: Total<'tier'>;
  private readonly loaded: Total<'tier'>;
  private readonly lost: Total<'tier'>;
  private readonly fetches: Total<'origin' | 'outcome'>;
  private readonly fetchedBlocks: Total<'origin'>;
  private readonly fetchedBytes: Total<'origin'>;
  private readonly loans: Total<'outcome'>;
  private readonly lentBlocks: Total;

  constructor(make: SeriesMaker) {
    this.externalQueries = make.total(
      'vllm:external_prefix_cache_queries_total',
      'Tokens of prompts that were looked for below the prefix cache and elsewhere: it didn’t hold them.',
    );
    this.externalHits = make.total(
      'vllm:external_prefix_cache_hits_total',
      'Of the tokens that were looked for there, those that came from there.',
    );
    const place = ['rank', 'tier'] as const;
    this.pinned = make.level(
      'expertwire:kv_pinned_blocks',
      'KV blocks of a rank that stay for a time, in its cache and below.',
      'rank',
    );
    this.refusedPins = make.total(
      'expertwire:kv_refused_pins_total',
      'KV blocks that were to stay for a time, and for which the share had no room.',
    );
    this.blocks = make.level('expertwire:kv_tier_blocks', 'KV blocks in a tier of a rank: ram, disk.', ...place);
    this.bytes = make.level('expertwire:kv_tier_bytes', 'Bytes of the KV blocks in a tier of a rank.', ...place);
    this.capacity = make.level('expertwire:kv_tier_capacity_bytes', 'As many as it may have.', ...place);
    this.queries = make.total(
      'expertwire:kv_tier_queries_total',
      'Tokens of prompts that were looked for in a tier: nothing nearer had them.',
      'tier',
    );
    this.hits = make.total('expertwire:kv_tier_hits_total', 'Of them, tokens that came from there.', 'tier');
    this.stored = make.total('expertwire:kv_tier_stored_bytes_total', 'Bytes that went down into a tier.', 'tier');
    this.loaded = make.total('expertwire:kv_tier_loaded_bytes_total', 'Bytes that came up from a tier.', 'tier');
    this.lost = make.total(
      'expertwire:kv_tier_lost_blocks_total',
      'KV blocks of a tier that weren’t there after all: a full disk, a damaged file.',
      'tier',
    );
    this.fetches = make.total(
      'expertwire:kv_fetches_total',
      'Reads of KV blocks of other ranks and of other instances (origin), by outcome: done, failed.',
      ...(['origin', 'outcome'] as const),
    );
    this.fetchedBlocks = make.total('expertwire:kv_fetched_blocks_total', 'KV blocks that came from there.', 'origin');
    this.fetchedBytes = make.total('expertwire:kv_fetched_bytes_total', 'Their bytes.', 'origin');
    this.loans = make.total(
      'expertwire:kv_loans_total',
      'Loans of KV blocks to other ranks and instances; evicted: ended for want of room, expired: given up by nobody.',
      'outcome',
    );
    this.lentBlocks = make.total('expertwire:kv_lent_blocks_total', 'KV blocks that were lent.');
  }

  /** Takes over what the scheduler says now, and what the engine counted. */
  update(
    { ranks }: Pick<SchedulerLoad, 'ranks'>,
    { tiers, pool, numRefusedPins }: Pick<EngineStats, 'tiers' | 'pool' | 'numRefusedPins'>,
  ): void {
    this.externalQueries.set(tiers[0]?.numQueries ?? pool.numQueries);
    this.externalHits.set(tiers.reduce((sum, { numHits }) => sum + numHits, pool.numHits));
    const places = ranks.flatMap(({ rank, tiers: own }) => own.map((use) => ({ rank, ...use })));
    this.refusedPins.set(numRefusedPins);
    this.pinned.setAll(ranks.map(({ rank, numPinnedBlocks }) => [{ rank }, numPinnedBlocks]));
    this.blocks.setAll(places.map(({ rank, tier, numBlocks }) => [{ rank, tier }, numBlocks]));
    this.bytes.setAll(places.map(({ rank, tier, numBytes }) => [{ rank, tier }, numBytes]));
    this.capacity.setAll(places.map(({ rank, tier, maxBytes }) => [{ rank, tier }, maxBytes]));
    const ofTiers = (count: (of: TierCounts) => number): Sample<'tier'>[] =>
      tiers.map((each) => [{ tier: each.tier }, count(each)]);
    this.queries.setAll(ofTiers(({ numQueries }) => numQueries));
    this.hits.setAll(ofTiers(({ numHits }) => numHits));
    this.stored.setAll(ofTiers(({ storedBytes }) => storedBytes));
    this.loaded.setAll(ofTiers(({ loadedBytes }) => loadedBytes));
    this.lost.setAll(ofTiers(({ numLost }) => numLost));
    this.updatePool(pool);
  }

  private updatePool({ fetched, ...pool }: EngineStats['pool']): void {
    const origins = Object.entries(fetched);
    this.fetches.setAll(
      origins.flatMap(([origin, { numFetches, numFailed }]) => [
        [{ origin, outcome: 'done' }, numFetches - numFailed],
        [{ origin, outcome: 'failed' }, numFailed],
      ]),
    );
    this.fetchedBlocks.setAll(origins.map(([origin, { numBlocks }]) => [{ origin }, numBlocks]));
    this.fetchedBytes.setAll(origins.map(([origin, { numBytes }]) => [{ origin }, numBytes]));
    const { numLoans, numEvictedLoans, numExpiredLoans } = pool;
    this.loans.setAll([
      [{ outcome: 'ended' }, numLoans - numEvictedLoans - numExpiredLoans],
      [{ outcome: 'evicted' }, numEvictedLoans],
      [{ outcome: 'expired' }, numExpiredLoans],
    ]);
    this.lentBlocks.set(pool.numLentBlocks);
  }
}
