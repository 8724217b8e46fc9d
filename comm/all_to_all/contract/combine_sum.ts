/**
 * The sums at the end of a combine: pure, in an order that only the routing decides. T tokens, H channels, K choices.
 * Why: docs/decisions/exchange.md#sums-run-in-the-codec
 */
import type { FloatRows } from '../../../base/float_rows.js';
import type { Codec } from '../../codec/codec.js';
import type { RowSource } from '../../codec/row_source.js';
import { forEachPiece, type Piece } from '../../codec/wire_staging.js';
import type { DestinationLayout } from './layout.js';
import { SumTarget } from './sum_target.js';

/** Rows by rank; undefined where a masked rank returned none. */
export type ReturnedRows = readonly (RowSource | undefined)[];

/**
 * `reduce: 'rank'`: the first `numTokens` rows of y from one row per (token, rank). `returned[r]` [n·H] belongs to the rows of `layouts[r]`, which ascend.
 * Within each node of `ranksPerNode` ranks, a token's first contributing rank is copied and the others are added in ascending rank
 * order; then nodes likewise: so −0 and single contributions keep their bits. A token without any row gets zeros.
 */
export function sumRanks(
  returned: ReturnedRows,
  layouts: readonly DestinationLayout[],
  numTokens: number,
  ranksPerNode: number,
  y: FloatRows,
): void {
  const { hidden } = y;
  const out = new SumTarget(y);
  const { codec } = out;
  // With one rank per node, or one node, a sum of sums is one sum.
  const ranksPerSum = ranksPerNode === 1 ? returned.length : ranksPerNode;
  const sources = returned.map((rows, rank) => ({ rows, tokens: layouts[rank]!.rows, next: 0 }));
  const total = new PieceSum(codec);
  const nodeSum = ranksPerSum < sources.length ? new PieceSum(codec) : total;
  forEachPiece(numTokens, hidden, (piece) => {
    total.begin(piece, out.at(piece));
    for (let from = 0; from < sources.length; from += ranksPerSum) {
      if (nodeSum !== total) nodeSum.begin(piece, codec.nodeSumsAt);
      const to = Math.min(from + ranksPerSum, sources.length);
      for (let rank = from; rank < to; rank++) nodeSum.addSource(sources[rank]!, hidden);
      if (nodeSum !== total) total.addSum(nodeSum);
    }
    total.zeroRest();
    out.finish(piece);
  });
}

/** Rows of one rank, in the order of their tokens, and how far they were added. */
interface Source {
  readonly rows: RowSource | undefined;
  readonly tokens: Int32Array;
  next: number;
}

const NO_PIECE: Piece = { row: 0, numRows: 0, channel: 0, numChannels: 0 };

/** The sum of one piece's rows after another, in the codec's memory. */
class PieceSum {
  private piece = NO_PIECE;
  private at = 0;
  /** [rows of the piece] 1 where something was added; other rows hold anything. */
  private hasRow = new Uint8Array(0);
  /** Rows where something was added. */
  private numAdded = 0;

  constructor(private readonly codec: Codec) {}

  /** `at`: the address of the sum. */
  begin(piece: Piece, at: number): void {
    this.piece = piece;
    this.at = at;
    if (this.hasRow.length < piece.numRows) this.hasRow = new Uint8Array(piece.numRows);
    else this.hasRow.fill(0);
    this.numAdded = 0;
  }

  /** Adds the source's rows of these tokens, which lie together. */
  addSource(source: Source, hidden: number): void {
    const { codec } = this;
    const { row, numRows, channel, numChannels } = this.piece;
    const { rows, tokens, next: start } = source;
    let end = start;
    while (end < tokens.length && tokens[end]! < row + numRows) end++;
    // Pieces of one row pass it several times.
    if (channel + numChannels === hidden) source.next = end;
    const count = end - start;
    if (rows === undefined || count === 0) return;
    const part = { row: start, numRows: count, channel, numChannels };
    if (count === numRows && this.numAdded === 0) {
      rows.stage(codec, part, this.at);
      this.hasRow.fill(1, 0, numRows);
      this.numAdded = numRows;
      return;
    }
    const from = rows.find(codec, part);
    if (count === numRows && this.numAdded === numRows) return codec.addRow(this.at, from, numRows * numChannels);
    for (let n = start; n < end; n++) this.add(tokens[n]! - row, from + 4 * (n - start) * numChannels);
  }

  /** Adds another sum's rows, where it has any. */
  addSum(sum: PieceSum): void {
    for (let row = 0; row < this.piece.numRows; row++) {
      if (sum.hasRow[row] === 1) this.add(row, sum.rowAt(row));
    }
  }

  /** Rows without any contribution become zeros. */
  zeroRest(): void {
    const { numRows, numChannels } = this.piece;
    if (this.numAdded === numRows) return;
    for (let row = 0; row < numRows; row++) {
      if (this.hasRow[row] === 0) this.codec.clearRow(this.rowAt(row), numChannels);
    }
  }

  private add(row: number, from: number): void {
    const { copyRow, addRow } = this.codec;
    const isFirst = this.hasRow[row] === 0;
    (isFirst ? copyRow : addRow)(this.rowAt(row), from, this.piece.numChannels);
    if (isFirst) this.numAdded++;
    this.hasRow[row] = 1;
  }

  private rowAt(row: number): number {
    return this.at + 4 * row * this.piece.numChannels;
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
 * `reduce: 'source'`: the first T rows of y from one row per choice. `returned[r]` [m·H] holds the choices that live on rank r. Per token, from +0,
 * y = Σ_k w_k · row_k for k = 0 … K−1, rounded to float32 after each choice.
 */
export function sumChoices(returned: ReturnedRows, choices: Choices, y: FloatRows): void {
  const { topkIdx, topkWeights, numTopk, slotsPerRank } = choices;
  const { hidden } = y;
  const out = new SumTarget(y);
  const { codec } = out;
  const rowOf = choices.rowOf ?? rowsInOrder(choices, returned.length);
  forEachPiece(topkIdx.length / numTopk, hidden, (piece) => {
    const { row, numRows, channel, numChannels } = piece;
    const at = out.at(piece);
    codec.clearRow(at, numRows * numChannels);
    for (let n = 0; n < numRows; n++) {
      for (let i = (row + n) * numTopk; i < (row + n + 1) * numTopk; i++) {
        const rows = topkIdx[i] === -1 ? undefined : returned[Math.floor(topkIdx[i]! / slotsPerRank)];
        if (rows === undefined) continue;
        const from = rows.find(codec, { row: rowOf[i]!, numRows: 1, channel, numChannels });
        codec.addScaledRow(at + 4 * n * numChannels, from, numChannels, topkWeights[i]!);
      }
    }
    out.finish(piece);
  });
}

/** [T·K] the choices of each rank in their order. */
function rowsInOrder({ topkIdx, slotsPerRank }: Choices, numRanks: number): Int32Array {
  const taken = new Int32Array(numRanks);
  return topkIdx.map((expert) => (expert === -1 ? -1 : taken[Math.floor(expert / slotsPerRank)]!++));
}
