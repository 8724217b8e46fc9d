/** What telemetry sees of an engine: a played one serves the tests. */
import type { Engine, EngineStats } from '../../head/engine.js';
import type { RankUse } from '../../head/scheduling/scheduler.js';

/** An {@link Engine}, or what looks like one. */
export interface TelemetrySource extends Pick<Engine, 'limits' | 'placement' | 'watch'> {
  stats(): SourceStats;
  readonly load: SourceLoad;
}

/** What an engine came to so far. */
export type SourceStats = EngineStats & Partial<PrefixCounts>;

/** Of a prefix cache, since the start; absent: nobody counts. */
export interface PrefixCounts {
  /** Prompt tokens that were looked for, and those that were found. */
  readonly numPrefixQueries: number;
  readonly numPrefixHits: number;
  /** Cached KV blocks whose content was forgotten because room was needed. */
  readonly numEvictedBlocks: number;
}

/** What a scheduler has in hand. */
export interface SourceLoad {
  readonly numWaiting: number;
  readonly ranks: readonly SourceRank[];
  /** What each of the balancers leaves uneven between ranks: the most over the mean. Absent: nobody knows. */
  readonly imbalance?: Readonly<Record<Balancer, number>>;
}

/** What a rank has in hand. */
export interface SourceRank extends RankUse {
  /** KV blocks of prefixes that no sequence holds. Absent: none are kept. */
  readonly numCachedBlocks?: number;
}

/** What is balanced between ranks: KV blocks, sequences, tokens of prompts in a step. */
export const BALANCERS = ['kvUse', 'numRunning', 'prefillTokens'] as const;
/** One of {@link BALANCERS}. */
export type Balancer = (typeof BALANCERS)[number];

/** Milliseconds that only go up: `performance.now`. */
export type Clock = () => number;
