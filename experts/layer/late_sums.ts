/** What experts of one MoE layer made that is added behind the next one. Why: docs/decisions/routing.md#what-weighs-little-may-come-later */
import type { Pending } from '../../comm/all_to_all/all_to_all.js';
import type { FloatRows } from '../../base/float_rows.js';

/** Sums [T, H] of a layer, complete when `pending` are. */
export interface LateSum {
  readonly y: FloatRows;
  readonly pending: readonly Pending<void>[];
}

/** One step's. Two sums may be there at once: of the layer before, and of this one. */
export class LateSums {
  private waiting: LateSum | null = null;
  private turn: 0 | 1 = 0;

  /** Which of two places the next sum goes to: the other one's sum may still be there. */
  get place(): 0 | 1 {
    return this.turn;
  }

  /** For the next layer; null: nothing comes later. */
  put(sum: LateSum | null): void {
    this.waiting = sum;
    if (sum !== null) this.turn = this.turn === 0 ? 1 : 0;
  }

  /** What the layer before left, complete; null: nothing. */
  async take(): Promise<FloatRows | null> {
    const { waiting } = this;
    this.waiting = null;
    if (waiting === null) return null;
    for (const pending of waiting.pending) await pending.hook();
    return waiting.y;
  }
}
