/** Blocks that somebody lent for one request, which is queued, or has them brought. Why: docs/decisions/kv_store.md#a-loan-holds-nothing */
import type { BorrowedBlocks } from '../../protocol/kv_loan.js';

/** Gives a sign of life until it is closed: a request may wait for long. */
export class HeldLoan {
  private readonly timer: NodeJS.Timeout;
  private isClosed = false;

  constructor(
    private readonly borrowed: BorrowedBlocks,
    intervalMs: number,
  ) {
    this.timer = setInterval(() => borrowed.renew(), intervalMs).unref();
  }

  get lease(): BorrowedBlocks['lease'] {
    return this.borrowed.lease;
  }

  get place(): BorrowedBlocks['place'] {
    return this.borrowed.place;
  }

  /** The first so many of the request's blocks; the last of them comes with a state where layers have states. 0: it is closed. */
  get numBlocks(): number {
    return this.isClosed ? 0 : this.borrowed.numBlocks;
  }

  /** Nobody reads any more. Idempotent. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    clearInterval(this.timer);
    this.borrowed.close();
  }
}
