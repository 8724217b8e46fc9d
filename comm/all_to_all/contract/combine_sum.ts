/**
 * The sums at the end of a combine: pure, in an order that only the routing decides. T tokens, H channels, K choices.
 * Why: docs/decisions/exchange.md#sums-run-in-the-codec
 */
import { codec, type StagedRows } from '../../codec/codec.js';
import type { DestinationLayout } from './layout.js';
import { forEachPiece, type Piece } from '../../codec/wire_staging.js';

/** Rows by rank; undefined where a masked rank returned none. */
export type ReturnedRows = readonly (Float32Array | undefined)[];

/**
 * `reduce: 'rank'`: y [T·H] from one row per (token, rank). `returned[r]` [n·H] belongs to the rows of `layouts[r]`, which ascend.
 * Within each node of `ranksPerNode` ranks, a token's first contributing rank is copied and the others are added in ascending rank
 * order; then nodes likewise: so −0 and single contributions keep their bits. A token without any row gets zeros.
 */
export function sumRanks(
  returned: ReturnedRows,
  layouts: readonly DestinationLayout[],
  numTokens: number,
  hidden: number,
  ranksPerNode: number,
): Float32Array {
  // Not zeroed: every row is written.
  const y = new Float32Array(Buffer.allocUnsafeSlow(4 * numTokens * hidden).buffer);
  const { nodeSums, totals } = codec().sums;
  // With one rank per node, or one node, a sum of sums is one sum.
  const ranksPerSum = ranksPerNode === 1 ? returned.length : ranksPerNode;
  const sources = returned.map((rows, rank) => ({ rows, tokens: layouts[rank]!.rows, next: 0 }));
  forEachPiece(numTokens, hidden, (piece) => {
    const total = new PieceSum(totals, piece);
    for (let from = 0; from < sources.length; from += ranksPerSum) {
      const sum = ranksPerSum === sources.length ? total : new PieceSum(nodeSums, piece);
      for (const source of sources.slice(from, from + ranksPerSum)) sum.addSource(source, hidden);
      if (sum !== total) total.addSum(sum);
    }
    total.writeTo(y, hidden);
  });
  return y;
}

/** Rows of one rank, in the order of their tokens, and how far they were added. */
interface Source {
  readonly rows: Float32Array | undefined;
  readonly tokens: Int32Array;
  next: number;
}

/** The sum of a piece's rows, staged among the kernels. */
class PieceSum {
  /** [rows of the piece] 1 where something was added; other rows hold anything. */
  private readonly hasRow: Uint8Array;

  constructor(
    private readonly staged: StagedRows,
    private readonly piece: Piece,
  ) {
    this.hasRow = new Uint8Array(piece.numRows);
  }

  /** Adds the source's rows of these tokens, which lie together. */
  addSource(source: Source, hidden: number): void {
    const { row, numRows, channel, numChannels } = this.piece;
    const { rows, tokens, next: start } = source;
    let end = start;
    while (end < tokens.length && tokens[end]! < row + numRows) end++;
    // Pieces of one row pass it several times.
    if (channel + numChannels === hidden) source.next = end;
    if (rows === undefined || start === end) return;
    const staged = codec().sums.rows;
    staged.floats.set(rows.subarray(start * hidden + channel, (end - 1) * hidden + channel + numChannels));
    for (let n = start; n < end; n++) this.add(tokens[n]! - row, staged.at + 4 * (n - start) * numChannels);
  }

  /** Adds another sum's rows, where it has any. */
  addSum(sum: PieceSum): void {
    for (let row = 0; row < this.hasRow.length; row++) {
      if (sum.hasRow[row] === 1) this.add(row, sum.at(row));
    }
  }

  /** Rows without any contribution are zeros. */
  writeTo(y: Float32Array, hidden: number): void {
    const { row, numRows, channel, numChannels } = this.piece;
    const { floats } = this.staged;
    for (let n = 0; n < numRows; n++) {
      if (this.hasRow[n] === 0) floats.fill(0, n * numChannels, (n + 1) * numChannels);
    }
    y.set(floats.subarray(0, numRows * numChannels), row * hidden + channel);
  }

  private add(row: number, from: number): void {
    const { copyRow, addRow } = codec().sums;
    const add = this.hasRow[row] === 1 ? addRow : copyRow;
    add(this.at(row), from, this.piece.numChannels);
    this.hasRow[row] = 1;
  }

  private at(row: number): number {
    return this.staged.at + 4 * row * this.piece.numChannels;
  }
}

/** What `sumChoices` needs of a dispatch. */
export interface Choices {
  /** [T·K] physical experts, −1 = none. */
  readonly topkIdx: Int32Array;
  /** [T·K] */
  readonly topkWeights: Float32Array;
  readonly numTopk: number;
  readonly slotsPerRank: number;
  /** [T·K] which row of its rank's `returned` belongs to a choice. Default: row-major, then choice ascending. */
  readonly rowOf?: Int32Array;
}

/**
 * `reduce: 'source'`: y [T·H] from one row per choice. `returned[r]` [m·H] holds the choices that live on rank r. Per token, from +0,
 * y = Σ_k w_k · row_k for k = 0 … K−1, rounded to float32 after each choice.
 */
export function sumChoices(returned: ReturnedRows, choices: Choices, hidden: number): Float32Array {
  const { topkIdx, topkWeights, numTopk } = choices;
  const numTokens = topkIdx.length / numTopk;
  const y = new Float32Array(numTokens * hidden);
  const rowOf = choices.rowOf ?? rowsInOrder(choices, returned.length);
  const { rows: staged, totals, addScaledRow } = codec().sums;
  forEachPiece(numTokens, hidden, ({ row, numRows, channel, numChannels }) => {
    totals.floats.fill(0, 0, numRows * numChannels);
    for (let n = 0; n < numRows; n++) {
      for (let i = (row + n) * numTopk; i < (row + n + 1) * numTopk; i++) {
        const rows = topkIdx[i] === -1 ? undefined : returned[Math.floor(topkIdx[i]! / choices.slotsPerRank)];
        if (rows === undefined) continue;
        const from = rowOf[i]! * hidden + channel;
        staged.floats.set(rows.subarray(from, from + numChannels));
        addScaledRow(totals.at + 4 * n * numChannels, staged.at, numChannels, topkWeights[i]!);
      }
    }
    y.set(totals.floats.subarray(0, numRows * numChannels), row * hidden + channel);
  });
  return y;
}

/** [T·K] the choices of each rank in their order. */
function rowsInOrder({ topkIdx, slotsPerRank }: Choices, numRanks: number): Int32Array {
  const taken = new Int32Array(numRanks);
  return topkIdx.map((expert) => (expert === -1 ? -1 : taken[Math.floor(expert / slotsPerRank)]!++));
}
