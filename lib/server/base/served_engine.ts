/** What the server needs of an engine: a played one serves the tests. */
import type { BlockSharing } from '../../cluster/base/instance_record.js';
import type { Scaled } from '../../head/elastic/scale_events.js';
import type { Engine } from '../../head/engine.js';
import type { Offer } from '../../head/handover/offer.js';
import type { KvIdentity } from '../../protocol/kv_source.js';

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

/** An engine whose requests may go on in another instance. */
export interface MovingEngine {
  /** What its keys and values are. */
  readonly kvIdentity: KvIdentity;
  /** How it names the blocks of its prefix cache; null: it has none. */
  readonly blockSharing: BlockSharing | null;
  /** As {@link Engine.offer}. */
  offer(id: string): Offer;
}

/** An engine whose ranks may come and go. */
interface ScalableEngine {
  /** Ranks come, go, or get their share of experts. */
  readonly isScaling: boolean;
  /** Gives the job so many ranks. Rejects with EngineError INVALID_REQUEST or SCALE_FAILED. */
  scale(numRanks: number, signal?: AbortSignal): Promise<Scaled>;
}
