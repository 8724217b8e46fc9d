/** A request that somebody may go on with elsewhere. Why: docs/decisions/handover.md#one-way-for-all-that-moves-between-instances */
import type { Address } from '../../../comm/ws/door/dial.js';
import type { KvLease } from '../../protocol/handover.js';
import type { SamplingParams } from '../../protocol/sampling.js';

/** How far an offered request is. */
export interface OfferState {
  readonly promptTokenIds: readonly number[];
  readonly outputTokenIds: readonly number[];
  /** With its seed. */
  readonly sampling: SamplingParams;
  /** First tokens of prompt and output whose keys and values can be read where {@link Offer.place} says; 0 where it says nothing. */
  readonly numTokens: number;
  /** Those of them before the first one that lost an expert: no other sequence may share what is behind. */
  readonly numExactTokens: number;
  /** No step computes it, and none will until the offer ends: nothing of this changes but the place. */
  readonly isPaused: boolean;
  /** It comes to that without {@link Offer.pause}, which waits for it. */
  readonly pausesItself: boolean;
  /** The request is over here, and its blocks are held for whoever comes for them. */
  readonly isOver: boolean;
}

/**
 * How an offer ended: somebody went on with the request; it goes on here, because somebody said so, or because nobody gave a sign of life; the request
 * finished, failed or was given up; or, of one that was over, its blocks were needed or lost.
 */
export type OfferEnd = 'committed' | 'rolled_back' | 'expired' | 'finished' | 'lost';

/** What an offer is asked for. */
export interface OfferOptions {
  /** It pauses by itself as soon as it has so many tokens of output, and {@link Offer.pause} waits for that. Default: it pauses when that is called. */
  readonly pauseAfter?: number;
}

/**
 * One request of an engine under a lease: its rank lets who knows the lease's token read its keys and values. Each call is a sign of life, and so is one that waits;
 * where none comes for `cluster.lease_timeout_ms`, the offer is rolled back. All but `end` and `rollback` throw EngineError LEASE_OVER behind the end.
 */
export interface Offer {
  readonly lease: KvLease;
  /** Where the rank listens that holds its keys and values; null while none does. Another one after a loss, or where sequences move. */
  place(): Address | null;
  /** What it is at now. */
  state(): OfferState;
  /** Resolves when place or state are other ones than when it was called, or when the offer has ended. Rejects with the reason of `signal`. */
  changed(signal?: AbortSignal): Promise<void>;
  /** Has steps leave it alone; resolves when none computes it any more: within two, or when it pauses by itself. Rejects with the reason of `signal`: it stays paused all the same. */
  pause(signal?: AbortSignal): Promise<OfferState>;
  /** Somebody goes on with it: the request ends with a `moved` event, and its blocks are free. @throws EngineError INVALID_REQUEST: it isn't paused */
  commit(): void;
  /** It goes on here. Nothing happens where the offer has ended. */
  rollback(): void;
  /** Null: it is open. */
  readonly end: OfferEnd | null;
}
