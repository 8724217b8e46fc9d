/** Blocks of one rank that somebody elsewhere may read for a while. Why: docs/decisions/kv_store.md#a-loan-holds-nothing */
import { randomBytes } from 'node:crypto';
import type { Address } from '../../../comm/ws/door/dial.js';
import type { KvLease } from '../../protocol/handover.js';
import type { BorrowedBlocks } from '../../protocol/kv_loan.js';

/** How a loan ended: who borrowed has enough, or gave no sign of life; a block of it was evicted; its rank is gone, or the engine. */
export type LoanEnd = 'closed' | 'expired' | 'evicted' | 'lost';

/** Whose blocks, and which. */
export interface LoanTerms {
  readonly rank: number;
  readonly place: Address;
  readonly numBlocks: number;
  /** Those that are in the rank's cache. */
  readonly blocks: readonly number[];
  /** How long it lasts without a sign of life. */
  readonly timeoutMs: number;
}

/** Who acts for it. */
export interface LoanHost {
  /** Calls `then` later, unless it is told otherwise by what this returns. */
  after(ms: number, then: () => void): () => void;
  ended(loan: Loan, end: LoanEnd): void;
}

/** One loan. */
export class Loan implements BorrowedBlocks {
  readonly lease: KvLease = { id: randomBytes(16).toString('hex'), token: randomBytes(32).toString('hex') };
  private ending: LoanEnd | null = null;
  private stopTimer: () => void = () => undefined;

  constructor(
    readonly terms: LoanTerms,
    private readonly host: LoanHost,
  ) {
    this.renew();
  }

  get place(): Address {
    return this.terms.place;
  }

  get numBlocks(): number {
    return this.terms.numBlocks;
  }

  /** Null: it is in force. */
  get end(): LoanEnd | null {
    return this.ending;
  }

  /** A sign of life; nothing happens behind the end. */
  renew(): void {
    if (this.ending !== null) return;
    this.stopTimer();
    this.stopTimer = this.host.after(this.terms.timeoutMs, () => this.finish('expired'));
  }

  /** Who borrowed has enough. Idempotent. */
  close(): void {
    this.finish('closed');
  }

  /** Ends it, once. */
  finish(end: LoanEnd): void {
    if (this.ending !== null) return;
    this.ending = end;
    this.stopTimer();
    this.host.ended(this, end);
  }
}
