/** What a scheduler did. */
import type { TierCounts } from '../../protocol/kv_use.js';

/** Since the start. */
export interface SchedulerCounts {
  /** How often a sequence gave way because KV blocks ran out. */
  readonly numPreempted: number;
  /**
   * Tokens that were not computed, because the cache of their rank held them: of prompts, and, where a sequence goes on that gave way or whose rank was
   * lost, of all that it has; each time once more.
   */
  readonly numSharedTokens: number;
  /** Prompt tokens that were looked up in the prefix cache, of each request once. */
  readonly numPrefixQueries: number;
  /** Those of them that it held, on the rank that the request went to. */
  readonly numPrefixHits: number;
  /** Cached KV blocks whose content was forgotten because room was needed. */
  readonly numEvictedBlocks: number;
  /** How often a sequence went on on another rank with what it had in its cache. */
  readonly numMoved: number;
  /** Tokens that it had there, each time once more. */
  readonly numMovedTokens: number;
  /** Sequences that went on here with keys and values of another instance. */
  readonly numArrived: number;
  /** Tokens of theirs that came from there. */
  readonly numArrivedTokens: number;
  /** KV blocks that were to be pinned for a time, and aren't, since as many as may be are. */
  readonly numRefusedPins: number;
  /** What came of what lies below the KV blocks of ranks, the nearest first; empty where nothing does. */
  readonly tiers: readonly TierCounts[];
}

/** Counts that grow. */
export type SchedulerCounter = Record<
  Exclude<keyof SchedulerCounts, 'numEvictedBlocks' | 'numRefusedPins' | 'tiers'>,
  number
>;

/** Nothing happened yet. */
export const noCounts = (): SchedulerCounter => ({
  ...{ numPreempted: 0, numSharedTokens: 0, numPrefixQueries: 0, numPrefixHits: 0 },
  ...{ numMoved: 0, numMovedTokens: 0, numArrived: 0, numArrivedTokens: 0 },
});
