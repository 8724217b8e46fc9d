/** What the server needs of an engine: a played one serves the tests. */
import type { Scaled } from '../../head/elastic/scale_events.js';
import type { Engine } from '../../head/engine.js';

/** An {@link Engine}, or what does the same. */
export type ServedEngine = Pick<
  Engine,
  'spec' | 'tokenizer' | 'limits' | 'load' | 'failure' | 'placement' | 'numSeats' | 'generate' | 'stats' | 'watch'
> &
  Partial<PrefixCacheOwner> &
  Partial<Pick<Engine, 'rebalance'>> &
  Partial<MovingEngine> &
  Partial<ScalableEngine>;

/** An engine that keeps the prefixes of prompts. */
export interface PrefixCacheOwner {
  /** Forgets the prefixes that are kept for later requests. False, and nothing is forgotten, while requests run. */
  resetPrefixCache(): boolean;
}

/** An engine whose requests may go on in another instance of its cluster, which hears of it. */
export type MovingEngine = Pick<
  Engine,
  | 'kvIdentity'
  | 'prefixSharing'
  | 'queued'
  | 'offer'
  | 'lend'
  | 'fetch'
  | 'sequenceLoads'
  | 'isMovable'
  | 'storedBlocks'
>;

/** An engine whose ranks may come and go. */
interface ScalableEngine {
  /** Ranks come, go, or get their share of experts. */
  readonly isScaling: boolean;
  /** Gives the job so many ranks. Rejects with EngineError INVALID_REQUEST or SCALE_FAILED. */
  scale(numRanks: number, signal?: AbortSignal): Promise<Scaled>;
}
