/** Rows of one cache lane that attention reads as one operand. Shape suffixes: S tokens of the segment, W width of the lane, B heads side by side in it. */
import { clone, keep, reshape, swapRows, tidy, transpose, type Tensor2D } from '../../../compute/tfjs/tf.js';

export interface KvRows {
  /** [S,W] */
  readonly rows: Tensor2D;
  /** [W,S] */
  readonly columns: Tensor2D;
  /** One head below the other: [B·S, W/B]. A lane is always read with the same number of heads. */
  byHead(numHeads: number): Tensor2D;
}

const byHeadOf = (rows: Tensor2D, numHeads: number): Tensor2D => {
  const [numTokens, width] = rows.shape;
  return swapRows(reshape(rows, [numTokens * numHeads, width / numHeads]), numTokens, numHeads);
};

/** Rows that may still change: what is made of them belongs to the tidy around it. */
export const looseRows = (rows: Tensor2D): KvRows => ({
  rows,
  get columns() {
    return transpose(rows);
  },
  byHead: (numHeads) => byHeadOf(rows, numHeads),
});

/**
 * Rows that are complete. Backends keep a prepared copy of an operand as long as its tensor lives, so the same tensors serve every step; a layout that nobody asks
 * for is not kept.
 */
export class KvSegment implements KvRows {
  private readonly numTokens: number;
  private readonly kept: { rows: Tensor2D | null; columns: Tensor2D | null; byHead: Tensor2D | null };
  private areRowsWanted = false;
  private numOwners: number;

  /** Takes the rows; each of `numOwners` must {@link release} it once. */
  constructor(rows: Tensor2D, numOwners: number) {
    this.numTokens = rows.shape[0];
    this.kept = { rows, columns: null, byHead: null };
    this.numOwners = numOwners;
  }

  get rows(): Tensor2D {
    this.areRowsWanted = true;
    return (this.kept.rows ??= tidy(() => keep(this.rowsAgain())));
  }

  get columns(): Tensor2D {
    const { kept } = this;
    kept.columns ??= tidy(() => keep(transpose(kept.rows ?? this.rowsAgain())));
    this.dropUnwanted();
    return kept.columns;
  }

  byHead(numHeads: number): Tensor2D {
    const { kept } = this;
    kept.byHead ??= tidy(() => keep(clone(byHeadOf(kept.rows ?? this.rowsAgain(), numHeads))));
    this.dropUnwanted();
    return kept.byHead;
  }

  release(): void {
    if (--this.numOwners > 0) return;
    const { rows, columns, byHead } = this.kept;
    for (const tensor of [rows, columns, byHead]) tensor?.dispose();
  }

  /** From what was made of them. */
  private rowsAgain(): Tensor2D {
    const { columns, byHead } = this.kept;
    if (columns !== null) return transpose(columns);
    const numHeads = byHead!.shape[0] / this.numTokens;
    return reshape(swapRows(byHead!, numHeads, this.numTokens), [this.numTokens, numHeads * byHead!.shape[1]]);
  }

  private dropUnwanted(): void {
    if (this.areRowsWanted) return;
    this.kept.rows?.dispose();
    this.kept.rows = null;
  }
}
