/** What instances tell of their prefix caches. Why: docs/decisions/cluster.md#a-key-stands-for-all-tokens-before-it */

/** Keys that one batch carries at most; more are told in several. */
export const MAX_BATCH_KEYS = 4096;

/** 16 hexadecimal digits: the first 8 bytes of a block's key (block_keys.ts), which stands for its tokens and all before them. */
export type BlockKey = string;

/** `stored`: some rank has the blocks from now on that none had; `removed`: none has them any more; `cleared`: none has any. */
export type BlockEvent =
  | { readonly kind: 'stored'; readonly keys: readonly BlockKey[] }
  | { readonly kind: 'removed'; readonly keys: readonly BlockKey[] }
  | { readonly kind: 'cleared' };

/** Events of one instance, in order. */
export interface BlockBatch {
  readonly instance: string;
  readonly incarnation: string;
  /**
   * Counts up by one with each batch of an incarnation, from 0: where one is missing, nothing is known until a batch begins with `cleared` (a snapshot, which may be
   * in several parts: all have the number of the last batch that they stand for).
   */
  readonly sequence: number;
  readonly events: readonly BlockEvent[];
}
