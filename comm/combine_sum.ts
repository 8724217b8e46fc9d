/** The sums at the end of a combine: pure, in an order that only the routing decides. T tokens, H channels, K choices. */
import type { DestinationLayout } from './layout.js';

/**
 * `reduce: 'rank'`: y [T·H] from one row per (token, rank). `returned[r]` [n·H] belongs to the rows of `layouts[r]`.
 * A token's first contributing rank is copied, the others are added in ascending rank order.
 */
export function sumRanks(
  returned: readonly Float32Array[],
  layouts: readonly DestinationLayout[],
  numTokens: number,
  hidden: number,
): Float32Array {
  const y = new Float32Array(numTokens * hidden);
  const hasRow = new Uint8Array(numTokens);
  for (const [rank, rows] of returned.entries()) {
    const sources = layouts[rank]!.rows;
    for (let n = 0; n < sources.length; n += 1) {
      const row = sources[n]!;
      if (hasRow[row] === 1) addRow(y, row * hidden, rows, n * hidden, hidden);
      else y.set(rows.subarray(n * hidden, (n + 1) * hidden), row * hidden);
      hasRow[row] = 1;
    }
  }
  return y;
}

/** What `sumChoices` needs of a dispatch. */
export interface Choices {
  /** [T·K] physical experts, −1 = none. */
  readonly topkIdx: Int32Array;
  /** [T·K] */
  readonly topkWeights: Float32Array;
  readonly numTopk: number;
  readonly slotsPerRank: number;
}

/**
 * `reduce: 'source'`: y [T·H] from one row per choice. `returned[r]` [m·H] holds the choices that live on rank r, row-major,
 * then choice ascending. Per token y = Σ_k w_k · row_k for k = 0 … K−1, rounded to float32 after each choice.
 */
export function sumChoices(returned: readonly Float32Array[], choices: Choices, hidden: number): Float32Array {
  const { topkIdx, topkWeights, numTopk, slotsPerRank } = choices;
  const y = new Float32Array((topkIdx.length / numTopk) * hidden);
  const taken = new Int32Array(returned.length);
  for (let i = 0; i < topkIdx.length; i += 1) {
    if (topkIdx[i] === -1) continue;
    const rank = Math.floor(topkIdx[i]! / slotsPerRank);
    const pair = taken[rank]!;
    taken[rank] = pair + 1;
    addScaledRow(y, Math.floor(i / numTopk) * hidden, returned[rank]!, pair * hidden, hidden, topkWeights[i]!);
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
