/** The sums at the end of a combine: pure, in an order that only the routing decides. T tokens, H channels, K choices. */
import type { DestinationLayout } from './layout.js';

/** Rows by rank; undefined where a masked rank returned none. */
export type ReturnedRows = readonly (Float32Array | undefined)[];

/**
 * `reduce: 'rank'`: y [T·H] from one row per (token, rank). `returned[r]` [n·H] belongs to the rows of `layouts[r]`, which ascend.
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
  // Not zeroed: every row is written.
  const y = new Float32Array(Buffer.allocUnsafeSlow(4 * numTokens * hidden).buffer);
  const nodeSum = new Float32Array(hidden);
  // With one rank per node, or one node, a sum of sums is one sum.
  const ranksPerSum = ranksPerNode === 1 ? returned.length : ranksPerNode;
  const sources = returned.map((rows, rank) => ({ rows, tokens: layouts[rank]!.rows, next: 0 }));
  const terms: Term[] = [];
  for (let token = 0; token < numTokens; token += 1) {
    const at = token * hidden;
    let hasSum = false;
    for (let from = 0; from < sources.length; from += ranksPerSum) {
      terms.length = 0;
      for (let rank = from; rank < from + ranksPerSum; rank += 1) {
        const source = sources[rank]!;
        if (source.tokens[source.next] !== token) continue;
        if (source.rows !== undefined) terms.push({ rows: source.rows, at: source.next * hidden });
        source.next += 1;
      }
      if (terms.length === 0) continue;
      if (!hasSum) writeSum(y, at, terms, hidden);
      else if (terms.length === 1) addRow(y, at, terms[0]!.rows, terms[0]!.at, hidden);
      else {
        writeSum(nodeSum, 0, terms, hidden);
        addRow(y, at, nodeSum, 0, hidden);
      }
      hasSum = true;
    }
    if (!hasSum) y.fill(0, at, at + hidden);
  }
  return y;
}

/** The row of H channels that begins here. */
interface Term {
  readonly rows: Float32Array;
  readonly at: number;
}

/** One or more terms, first to last, each sum rounded to float32. A single one is copied and two are written as a sum: −0 keeps its bits, and y is written once. */
function writeSum(y: Float32Array, yAt: number, [first, second, ...others]: readonly Term[], hidden: number): void {
  if (second === undefined) {
    y.set(first!.rows.subarray(first!.at, first!.at + hidden), yAt);
    return;
  }
  const [a, aAt] = [first!.rows, first!.at];
  const [b, bAt] = [second.rows, second.at];
  for (let h = 0; h < hidden; h += 1) y[yAt + h] = a[aAt + h]! + b[bAt + h]!;
  for (const { rows, at } of others) addRow(y, yAt, rows, at, hidden);
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
