/** What an instance has in hand at a moment. Reports are told whole, at most every 100 ms, and whoever missed some goes on with the next. */

/** Requests that a report lists at most: those that run longest first, and of those that wait the first. */
export const MAX_LISTED_REQUESTS = 256;

/** One request, for who decides what moves. */
export interface RequestLoad {
  /** `GenerationRequest.id`. */
  readonly id: string;
  /** It has room; otherwise it waits. */
  readonly isRunning: boolean;
  /** It can go on elsewhere now. */
  readonly isMovable: boolean;
  /** Lower comes first. */
  readonly priority: number;
  readonly numPromptTokens: number;
  readonly numOutputTokens: number;
  /** That it holds; of one that waits, those that it lacks to begin. */
  readonly numBlocks: number;
  /** Counts up with arrivals at this instance. */
  readonly arrival: number;
}

/** Of all ranks of an instance together. */
export interface LoadReport {
  readonly instance: string;
  readonly incarnation: string;
  /** Counts up from 0: a late one is dropped. */
  readonly sequence: number;
  readonly numWaiting: number;
  readonly numRunning: number;
  readonly numKvBlocks: number;
  /** Sequences hold them. */
  readonly numUsedBlocks: number;
  /** Nobody holds them, and they may be used again: they make room where it is needed. */
  readonly numCachedBlocks: number;
  /** KV blocks of the rank that has most room: no longer prompt fits anywhere now. */
  readonly numFreeBlocksOfRank: number;
  /** Of requests that wait or run, without what was found in the cache. */
  readonly numPrefillTokens: number;
  /** As measured while prompts were computed; null: none was yet. */
  readonly prefillTokensPerS: number | null;
  /** Of one sequence, as measured lately, ms; null: none generates. */
  readonly tbtMs: number | null;
  /** {@link MAX_LISTED_REQUESTS} at most. */
  readonly requests: readonly RequestLoad[];
}
