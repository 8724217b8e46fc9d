/** Rows of one lane that attention reads as one operand. Shape suffixes: S tokens of the segment, W width of the lane. */
import { keep, tidy, transpose, type Tensor2D } from '../../../experts/tf.js';

export interface KvRows {
  /** [S,W] */
  readonly rows: Tensor2D;
  /** [W,S] */
  readonly columns: Tensor2D;
}

/** Rows that may still change: what is made of them belongs to the tidy around it. */
export const looseRows = (rows: Tensor2D): KvRows => ({
  rows,
  get columns() {
    return transpose(rows);
  },
});

/**
 * Rows that are complete. Backends keep a prepared copy of an operand as long as its tensor lives, so the same two tensors serve every step; a layout that nobody asks
 * for is not kept.
 */
export class KvSegment implements KvRows {
  private readonly kept: { rows: Tensor2D | null; columns: Tensor2D | null };
  private areRowsWanted = false;
  private numOwners: number;

  /** Takes the rows; each of `numOwners` must {@link release} it once. */
  constructor(rows: Tensor2D, numOwners: number) {
    this.kept = { rows, columns: null };
    this.numOwners = numOwners;
  }

  get rows(): Tensor2D {
    this.areRowsWanted = true;
    return (this.kept.rows ??= tidy(() => keep(transpose(this.kept.columns!))));
  }

  get columns(): Tensor2D {
    const { kept } = this;
    kept.columns ??= tidy(() => keep(transpose(kept.rows!)));
    if (!this.areRowsWanted) {
      kept.rows?.dispose();
      kept.rows = null;
    }
    return kept.columns;
  }

  release(): void {
    if (--this.numOwners > 0) return;
    this.kept.rows?.dispose();
    this.kept.columns?.dispose();
  }
}
