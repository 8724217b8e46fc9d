/**
 * Keys and values of one sequence, and the two products that attention makes with them: a product per head, or all heads in a batched one.
 * Shape suffixes: B heads with keys and values of their own, R query rows of each, L tokens of the sequence, S of one segment of them, D channels, V value columns.
 */
import {
  add,
  columnsFrom,
  joinColumns,
  matMul,
  matMulByBlocks,
  rowsFrom,
  stackRows,
  type Tensor2D,
} from '../../../compute/tfjs/tf.js';
import type { KvRows } from './kv_segment.js';

/** Both products are to be called inside a tidy. Segments of the same tokens follow each other in keys and values. */
export interface KeyValues {
  /** q·Kᵀ: [B·R,D] → [B·R,L]. */
  scores(q: Tensor2D): Tensor2D;
  /** weights·V: [B·R,L] → [B·R,V]; segment after segment, in the order of positions. */
  weigh(weights: Tensor2D): Tensor2D;
}

/** One head's operands, segment by segment. */
export interface Lane {
  /** [D,S] each. */
  readonly keys: readonly Tensor2D[];
  /** [S,V] each: values first, a column of ones last. */
  readonly values: readonly Tensor2D[];
}

/** Plain products, one after another: what is fast on wasm, and whose rows don't depend on each other. */
export class LaneKeyValues implements KeyValues {
  constructor(private readonly lanes: readonly Lane[]) {}

  /** One product per head and segment. */
  scores(q: Tensor2D): Tensor2D {
    return this.eachLane(q, ({ keys }, q_RD) => joinColumns(keys.map((k_DS) => matMul(q_RD, k_DS))));
  }

  /** One product per head and segment. */
  weigh(weights: Tensor2D): Tensor2D {
    return this.eachLane(weights, ({ values }, weights_RL) =>
      sumOverSegments(
        weights_RL,
        values.map((v_SV) => v_SV.shape[0]),
        (own_RS, i) => matMul(own_RS, values[i]!),
      ),
    );
  }

  private eachLane(x: Tensor2D, compute: (lane: Lane, rows: Tensor2D) => Tensor2D): Tensor2D {
    const numRows = x.shape[0] / this.lanes.length;
    return stackRows(this.lanes.map((lane, i) => compute(lane, rowsFrom(x, i * numRows, numRows))));
  }
}

/** All heads in one product, where an operation costs more than what it computes. */
export class BatchedKeyValues implements KeyValues {
  /** Rows of `keys` hold the channels of all heads, rows of `values` those of all heads with a one behind each. */
  constructor(
    private readonly numHeads: number,
    private readonly keys: readonly KvRows[],
    private readonly values: readonly KvRows[],
  ) {}

  /** One product per segment. */
  scores(q: Tensor2D): Tensor2D {
    const { numHeads } = this;
    return joinColumns(this.keys.map((segment) => matMulByBlocks(q, segment.byHead(numHeads), numHeads)));
  }

  /** One product per segment. */
  weigh(weights: Tensor2D): Tensor2D {
    const columns = this.values.map((segment) => segment.columns);
    return sumOverSegments(
      weights,
      columns.map(({ shape }) => shape[1]),
      (own, i) => matMulByBlocks(own, columns[i]!, this.numHeads),
    );
  }
}

/** Σ over segments of what the columns of the weights that belong to each make. */
function sumOverSegments(
  weights: Tensor2D,
  lengths: readonly number[],
  product: (own: Tensor2D, segment: number) => Tensor2D,
): Tensor2D {
  let start = 0;
  const parts = lengths.map((length, i) => product(columnsFrom(weights, (start += length) - length, length), i));
  return parts.reduce((sum, part) => add(sum, part));
}
