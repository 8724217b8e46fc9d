/** Who waits and runs, and who holds the KV cache, at this moment; vLLM's names for what vLLM has. */
import type { EngineStats } from '../../head/engine.js';
import type { SchedulerLoad } from '../../head/scheduling/scheduler.js';
import type { Level, SeriesMaker, Total } from './series.js';

/** Reads the scheduler when it is asked to. */
export class SchedulerMetrics {
  private readonly running: Level;
  private readonly waiting: Level;
  private readonly usage: Level;
  private readonly queries: Total;
  private readonly hits: Total;
  private readonly evicted: Total;
  private readonly preemptions: Total;
  private readonly rankRunning: Level<'rank'>;
  private readonly rankUsage: Level<'rank'>;
  private readonly blocks: Level<'rank' | 'state'>;
  private readonly imbalance: Level<'balancer'>;

  constructor(make: SeriesMaker) {
    this.running = make.level('vllm:num_requests_running', 'Sequences that run.');
    this.waiting = make.level('vllm:num_requests_waiting', 'Sequences that wait to run.');
    this.usage = make.level('vllm:kv_cache_usage_perc', 'Part of the KV blocks that sequences hold: 1 = all.');
    this.queries = make.total(
      'vllm:prefix_cache_queries_total',
      'Tokens of prompts that were looked for in the prefix cache.',
    );
    this.hits = make.total(
      'vllm:prefix_cache_hits_total',
      'Of the tokens that were looked for, those that the prefix cache held.',
    );
    this.preemptions = make.total('vllm:num_preemptions_total', 'How often a sequence gave way for want of KV blocks.');
    this.rankRunning = make.level('expertwire:rank_sequences_running', 'Sequences that run on a rank.', 'rank');
    this.rankUsage = make.level('expertwire:rank_kv_usage', 'Part of its KV blocks that is held: 1 = all.', 'rank');
    this.blocks = make.level(
      'expertwire:kv_blocks',
      'KV blocks of a rank by state: used, cached (of a prefix, held by nobody), free.',
      ...(['rank', 'state'] as const),
    );
    this.evicted = make.total(
      'expertwire:evicted_kv_blocks_total',
      'Cached KV blocks whose content was forgotten because room was needed.',
    );
    this.imbalance = make.level(
      'expertwire:imbalance',
      'The most of all ranks / their mean, of what a balancer spreads: kv_use, sequences, prefill_tokens; 1 = even.',
      'balancer',
    );
  }

  /** Takes over what the scheduler says now. */
  update({ numWaiting, ranks, imbalance }: SchedulerLoad, stats: EngineStats): void {
    const sumOf = (count: (rank: SchedulerLoad['ranks'][number]) => number): number =>
      ranks.reduce((sum, rank) => sum + count(rank), 0);
    const part = (used: number, all: number): number => (all === 0 ? 0 : used / all);
    this.waiting.set(numWaiting);
    this.running.set(sumOf(({ numRunning }) => numRunning));
    const [used, all] = [sumOf(({ numUsedBlocks }) => numUsedBlocks), sumOf(({ numKvBlocks }) => numKvBlocks)];
    this.usage.set(part(used, all));
    const { numPreempted, numPrefixQueries, numPrefixHits, numEvictedBlocks } = stats;
    this.queries.set(numPrefixQueries);
    this.hits.set(numPrefixHits);
    this.evicted.set(numEvictedBlocks);
    this.preemptions.set(numPreempted);
    this.imbalance.setAll([
      [{ balancer: 'kv_use' }, imbalance.kvUse],
      [{ balancer: 'sequences' }, imbalance.numRunning],
      [{ balancer: 'prefill_tokens' }, imbalance.prefillTokens],
    ]);
    this.rankRunning.setAll(ranks.map(({ rank, numRunning }) => [{ rank }, numRunning]));
    this.rankUsage.setAll(ranks.map(({ rank, numUsedBlocks: of, numKvBlocks }) => [{ rank }, part(of, numKvBlocks)]));
    this.blocks.setAll(
      ranks.flatMap(({ rank, numUsedBlocks, numCachedBlocks, numKvBlocks }) => [
        [{ rank, state: 'used' }, numUsedBlocks],
        [{ rank, state: 'cached' }, numCachedBlocks],
        [{ rank, state: 'free' }, numKvBlocks - numUsedBlocks - numCachedBlocks],
      ]),
    );
  }
}
