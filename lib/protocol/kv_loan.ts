/**
 * KV blocks that somebody lends: a rank elsewhere may read them, by their keys, while they are there. Why: docs/decisions/kv_store.md#a-loan-holds-nothing
 */
import type { Address } from '../../comm/ws/door/dial.js';
import type { KvLease } from './handover.js';

/** Blocks of one rank that whoever knows the lease's token may read. */
export interface KvLoan {
  readonly lease: KvLease;
  /** Where that rank lets others read. */
  readonly place: Address;
  /** The first so many of the keys that were asked for, at least one; the last of them comes with a state where layers have states. */
  readonly numBlocks: number;
}

/** What a holder lent: it ends where nobody renews it for `cluster.lease_timeout_ms`. */
export interface BorrowedBlocks extends KvLoan {
  /** Somebody reads still. Nobody waits for it. */
  renew(): void;
  /** Nobody reads any more. Idempotent. */
  close(): void;
}

/** Another instance that may have blocks. */
export interface BlockHolder {
  /**
   * The beginning of these keys (block_keys.ts) that it has; null: nothing, or blocks that would have other bits. Rejects where it can't be asked, or with the reason of
   * `signal`.
   */
  match(keys: readonly string[], signal: AbortSignal): Promise<BorrowedBlocks | null>;
}
