/**
 * Rows of one cache lane that attention reads as one operand. Shape suffixes: S tokens of the segment, W width of the lane, B heads side by side in it.
 * Why: docs/decisions/tensorflow.md#kv-cache-in-segments
 */
import {
  clone,
  columnsFrom,
  keep,
  reshape,
  rowsFrom,
  swapRows,
  tidy,
  transpose,
  type Tensor2D,
} from '../../../compute/tfjs/tf.js';

/** One run of a lane's rows in the layouts that attention asks for; each is made when it is asked for. */
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
  private numLeft: number;

  /** Takes the rows; each of `numOwners` must {@link release} it once. */
  constructor(rows: Tensor2D, numOwners: number) {
    this.numTokens = rows.shape[0];
    this.kept = { rows, columns: null, byHead: null };
    this.numLeft = numOwners;
  }

  /** Those that have not released it. */
  get numOwners(): number {
    return this.numLeft;
  }

  /** Kept from now on, even where other layouts would do. */
  get rows(): Tensor2D {
    this.areRowsWanted = true;
    return (this.kept.rows ??= tidy(() => keep(this.part(0, this.numTokens))));
  }

  /** Made once, then kept. */
  get columns(): Tensor2D {
    const { kept } = this;
    kept.columns ??= tidy(() => keep(transpose(this.part(0, this.numTokens))));
    this.dropUnwanted();
    return kept.columns;
  }

  /** Made once, then kept. */
  byHead(numHeads: number): Tensor2D {
    const { kept } = this;
    kept.byHead ??= tidy(() => keep(clone(byHeadOf(this.part(0, this.numTokens), numHeads))));
    this.dropUnwanted();
    return kept.byHead;
  }

  /** Some of the rows, from whatever is kept; inside a tidy. */
  part(start: number, count: number): Tensor2D {
    const { rows, columns, byHead } = this.kept;
    if (rows !== null) return rowsFrom(rows, start, count);
    if (columns !== null) return transpose(columnsFrom(columns, start, count));
    const numHeads = byHead!.shape[0] / this.numTokens;
    const turned = swapRows(byHead!, numHeads, this.numTokens);
    return rowsFrom(reshape(turned, [this.numTokens, numHeads * byHead!.shape[1]]), start, count);
  }

  /** Takes one owner away; the last one frees all layouts. */
  release(): void {
    if (--this.numLeft > 0) return;
    const { rows, columns, byHead } = this.kept;
    for (const tensor of [rows, columns, byHead]) tensor?.dispose();
  }

  private dropUnwanted(): void {
    if (this.areRowsWanted) return;
    this.kept.rows?.dispose();
    this.kept.rows = null;
  }
}
