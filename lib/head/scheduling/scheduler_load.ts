/** What a scheduler has in hand at a moment, for whoever watches. */
import type { TierUse } from '../../protocol/kv_use.js';

/** How unevenly something is spread over ranks: the most over the mean. 1: evenly, or there is nothing. */
export type Imbalance = number;

/** What a rank does and holds at this moment. */
export interface RankUse {
  readonly rank: number;
  readonly numRunning: number;
  readonly numKvBlocks: number;
  /** KV blocks that sequences hold. */
  readonly numUsedBlocks: number;
  /** KV blocks that no sequence holds and that one which begins alike may use; they make room where it is needed. The others are free. */
  readonly numCachedBlocks: number;
  /** Blocks that are pinned for a time, wherever they lie: they make room last. */
  readonly numPinnedBlocks: number;
  /** What lies below its KV blocks, the nearest first; empty where it keeps nothing there. */
  readonly tiers: readonly TierUse[];
  /** Prompt tokens, and tokens that were computed anew, of the step that was planned last. */
  readonly numPrefillTokens: number;
}

/** What a scheduler has in hand. */
export interface SchedulerLoad {
  readonly numWaiting: number;
  /** Of the ranks that are left. */
  readonly ranks: readonly RankUse[];
  /** What each of the balancers leaves uneven between them. Why: docs/decisions/requests.md#a-sequence-goes-where-it-costs-least */
  readonly imbalance: {
    readonly kvUse: Imbalance;
    readonly numRunning: Imbalance;
    readonly prefillTokens: Imbalance;
  };
}

/** The load of ranks, and how uneven it is. */
export function loadOf(numWaiting: number, ranks: readonly RankUse[]): SchedulerLoad {
  const imbalance = {
    kvUse: imbalanceOf(ranks.map(({ numUsedBlocks }) => numUsedBlocks)),
    numRunning: imbalanceOf(ranks.map(({ numRunning }) => numRunning)),
    prefillTokens: imbalanceOf(ranks.map(({ numPrefillTokens }) => numPrefillTokens)),
  };
  return { numWaiting, ranks, imbalance };
}

/** Of one number per rank, none negative. */
function imbalanceOf(values: readonly number[]): Imbalance {
  const sum = values.reduce((a, b) => a + b, 0);
  return sum === 0 ? 1 : (Math.max(...values) * values.length) / sum;
}
