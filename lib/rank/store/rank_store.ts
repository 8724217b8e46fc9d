/** Blocks of one rank that its cache has no room for: in memory, and in files. Why: docs/decisions/kv_store.md#the-head-says-what-lies-where-the-rank-has-the-bytes */
import type { KeyedBlock, StoreOrder } from '../../protocol/kv_store.js';

/** One per rank. */
export interface RankStore {
  /** Reads blocks as they are at the time of the call, before their cache forgets them. */
  keep(blocks: readonly KeyedBlock[]): void;
  /** At once. */
  obey(order: StoreOrder): void;
}
