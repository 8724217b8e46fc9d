import type { BlockBatch } from '../base/block_events.js';

/** What becomes of a batch of one incarnation: it is told on; it was told already; or one before it is missing, and all is to be asked for. */
export type BatchFate = 'next' | 'late' | 'gap';

/** It counts whatever was lost before. */
export const isWhole = ({ events }: BlockBatch): boolean => events[0]?.kind === 'cleared';

/** Batches of one incarnation in their order, without gaps. */
export class BatchOrder {
  /** Null: nothing counts before a batch that begins with `cleared`. */
  private next: number | null = null;

  /** Whether a batch follows the one before. */
  take(batch: BlockBatch): BatchFate {
    const { sequence } = batch;
    if (this.next !== null && sequence < this.next) return 'late';
    const isNext = isWhole(batch) || sequence === this.next;
    this.next = isNext ? sequence + 1 : null;
    return isNext ? 'next' : 'gap';
  }

  /** Whether batches are missing, where so many were told. */
  isBehind(numBatches: number): boolean {
    return numBatches > (this.next ?? 0);
  }
}
