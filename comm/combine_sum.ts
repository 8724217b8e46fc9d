/** The sums at the end of a combine: pure, in an order that only the routing decides. T tokens, H channels, K choices. */
import type { DestinationLayout } from './layout.js';
import { unfilledFloats } from './unfilled.js';

/** Rows by rank; undefined where a masked rank returned none. */
export type ReturnedRows = readonly (Float32Array | undefined)[];

/**
 * `reduce: 'rank'`: y [T·H] from one row per (token, rank). `returned[r]` [n·H] belongs to the rows of `layouts[r]`.
 * Within each node of `ranksPerNode` ranks, a token's first contributing rank is copied and the others are added in ascending rank
 * order; then nodes likewise. A token without any row gets zeros.
 */
export function sumRanks(
  returned: ReturnedRows,
  layouts: readonly DestinationLayout[],
  numTokens: number,
  hidden: number,
  ranksPerNode: number,
): Float32Array {
  const y = new RowSum(numTokens, hidden);
  // With one rank per node, or one node, a sum of sums is one sum.
  const perSum = ranksPerNode === 1 ? returned.length : ranksPerNode;
  for (let from = 0; from < returned.length; from += perSum) {
    const sum = perSum === returned.length ? y : new RowSum(numTokens, hidden);
    for (let rank = from; rank < from + perSum; rank += 1) {
      const rows = returned[rank];
      if (rows !== undefined) sum.add(rows, layouts[rank]!.rows);
    }
    if (sum !== y) y.addSum(sum);
  }
  return y.finish();
}

/** A sum of rows that copies a token's first one, so that −0 and single contributions keep their bits. */
class RowSum {
  /** [T·H]; rows of tokens without any are unfilled. */
  readonly #y: Float32Array;
  /** [T] 1 where something was added. */
  readonly #hasRow: Uint8Array;
  readonly #hidden: number;

  constructor(numTokens: number, hidden: number) {
    this.#y = unfilledFloats(numTokens * hidden);
    this.#hasRow = new Uint8Array(numTokens);
    this.#hidden = hidden;
  }

  /** Adds row n of `rows` [n·H] to token `tokens[n]`. */
  add(rows: Float32Array, tokens: Int32Array): void {
    for (let n = 0; n < tokens.length; n += 1) this.#addRow(tokens[n]!, rows, n);
  }

  /** Adds another sum's rows, where it has any. */
  addSum(sum: RowSum): void {
    for (let token = 0; token < this.#hasRow.length; token += 1) {
      if (sum.#hasRow[token] === 1) this.#addRow(token, sum.#y, token);
    }
  }

  /** The sum [T·H]. */
  finish(): Float32Array {
    const hidden = this.#hidden;
    for (let token = 0; token < this.#hasRow.length; token += 1) {
      if (this.#hasRow[token] === 0) this.#y.fill(0, token * hidden, (token + 1) * hidden);
    }
    return this.#y;
  }

  #addRow(token: number, rows: Float32Array, row: number): void {
    const hidden = this.#hidden;
    if (this.#hasRow[token] === 1) addRow(this.#y, token * hidden, rows, row * hidden, hidden);
    else this.#y.set(rows.subarray(row * hidden, (row + 1) * hidden), token * hidden);
    this.#hasRow[token] = 1;
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
 * `reduce: 'source'`: y [T·H] from one row per choice. `returned[r]` [m·H] holds the choices that live on rank r. Per token y = Σ_k w_k · row_k for k = 0 … K−1, rounded to float32 after each choice.
 */
export function sumChoices(returned: ReturnedRows, choices: Choices, hidden: number): Float32Array {
  const { topkIdx, topkWeights, numTopk, slotsPerRank, rowOf } = choices;
  const y = new Float32Array((topkIdx.length / numTopk) * hidden);
  const taken = new Int32Array(returned.length);
  for (let i = 0; i < topkIdx.length; i += 1) {
    if (topkIdx[i] === -1) continue;
    const rank = Math.floor(topkIdx[i]! / slotsPerRank);
    const rows = returned[rank];
    if (rows === undefined) continue;
    const pair = rowOf?.[i] ?? taken[rank]!;
    taken[rank]! += 1;
    addScaledRow(y, Math.floor(i / numTopk) * hidden, rows, pair * hidden, hidden, topkWeights[i]!);
  }
  return y;
}

function addRow(y: Float32Array, yAt: number, rows: Float32Array, rowAt: number, hidden: number): void {
  for (let h = 0; h < hidden; h += 1) y[yAt + h]! += rows[rowAt + h]!;
}

function addScaledRow(
  y: Float32Array,
  yAt: number,
  rows: Float32Array,
  rowAt: number,
  hidden: number,
  weight: number,
): void {
  for (let h = 0; h < hidden; h += 1) y[yAt + h]! += weight * rows[rowAt + h]!;
}
