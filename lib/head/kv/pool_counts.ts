/** What an engine lent of its blocks, and brought from elsewhere, since the start. */
import type { BlockOrigin } from './kv_costs.js';

/** From where blocks of a pool come. */
export type PoolOrigin = Extract<BlockOrigin, 'rank' | 'instance'>;

/** Blocks from other ranks, or from other instances. */
export interface FetchCounts {
  /** Fetches that were ordered. */
  readonly numFetches: number;
  readonly numBlocks: number;
  /** On the wire. */
  readonly numBytes: number;
  /** Fetches that brought less than they were to. */
  readonly numFailed: number;
}

/** Since the start. */
export interface PoolCounts {
  readonly numLoans: number;
  readonly numLentBlocks: number;
  /** Loans that ended because a block of theirs was evicted. */
  readonly numEvictedLoans: number;
  /** Loans that ended because nobody gave a sign of life. */
  readonly numExpiredLoans: number;
  /** Tokens of prompts that other instances were asked for: neither cache nor tiers here had them. */
  readonly numQueries: number;
  /** Those of them that came from there. */
  readonly numHits: number;
  readonly fetched: Readonly<Record<PoolOrigin, FetchCounts>>;
}

type Growing<Counts> = { -readonly [Key in keyof Counts]: Counts[Key] };

/** Counts that grow. */
export type PoolCounter = Growing<Omit<PoolCounts, 'fetched'>> & { fetched: Record<PoolOrigin, Growing<FetchCounts>> };

/** Nothing happened yet. */
export function noPoolCounts(): PoolCounter {
  const none = (): Growing<FetchCounts> => ({ numFetches: 0, numBlocks: 0, numBytes: 0, numFailed: 0 });
  return {
    ...{ numLoans: 0, numLentBlocks: 0, numEvictedLoans: 0, numExpiredLoans: 0, numQueries: 0, numHits: 0 },
    fetched: { rank: none(), instance: none() },
  };
}
