/** What the server needs of an engine: a played one serves the tests. */
import type { Engine } from '../../head/engine.js';

/** An {@link Engine}, or what does the same. */
export type ServedEngine = Pick<
  Engine,
  'spec' | 'tokenizer' | 'limits' | 'load' | 'failure' | 'placement' | 'generate' | 'stats' | 'watch'
> &
  Partial<PrefixCacheOwner> &
  Partial<Pick<Engine, 'rebalance'>>;

/** An engine that keeps the prefixes of prompts. */
export interface PrefixCacheOwner {
  /** Forgets the prefixes that are kept for later requests. False, and nothing is forgotten, while requests run. */
  resetPrefixCache(): boolean;
}
