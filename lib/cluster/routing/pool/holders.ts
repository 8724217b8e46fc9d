/** Which instances read each other's caches, and who of them has what. Pure. Why: docs/decisions/kv_store.md#the-router-names-who-has-a-prefix */
import type { InstanceRecord } from '../../base/instance_record.js';

/** An instance that has the first blocks of a prompt. */
export interface BlockHolder {
  readonly instance: string;
  /** Where its API is. */
  readonly url: string;
  readonly numBlocks: number;
}

/** Holders that a request names at most: where one is gone, the next one is asked. */
export const MAX_HOLDERS = 4;

/** Equal where equal keys mean equal bytes: weights, names of blocks and block size are the same. Null: it reads nobody's, and nobody reads its own. */
export function poolOf({ isPooled, fingerprint, sharing, blockSize }: InstanceRecord): string | null {
  if (!isPooled || fingerprint === null || sharing === null) return null;
  return `${fingerprint} ${sharing.seed} ${sharing.separatesForms} ${blockSize}`;
}
