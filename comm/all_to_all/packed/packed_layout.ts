/** Which row lies where in the low-latency mode: pure, from the routing alone. T tokens, K choices, E experts, M (token, expert) pairs. */
import { CommError } from '../../base/errors.js';
import { checkExpert, type LayoutShape } from '../contract/layout.js';

/** What one source sends. Experts of one rank follow each other, so what a rank gets lies together. */
export interface PackedLayout {
  /** [M] source rows by physical expert, then source row. */
  readonly rows: Int32Array;
  /** [E+1]: the rows of expert p are `rows[start[p]]` … `rows[start[p + 1] − 1]`. */
  readonly start: Int32Array;
  /** [T·K] where the choice's row is among those of its expert's rank; 0 where there is none. */
  readonly rowOf: Int32Array;
  /** [ranks] distinct tokens per destination. */
  readonly numTokens: Int32Array;
}

/**
 * A stable counting sort of `topkIdx` [T·K] by expert.
 * @throws CommError INVALID_ARGUMENT on an expert that no rank has, and on one that a token names twice: experts have room for one row per token
 */
export function packedLayoutOf(topkIdx: Int32Array, shape: LayoutShape): PackedLayout {
  const { numTopk, slotsPerRank, size } = shape;
  const start = startsOf(topkIdx, size * slotsPerRank);
  const next = start.slice();
  const rows = new Int32Array(start.at(-1)!);
  const rowOf = new Int32Array(topkIdx.length);
  const numTokens = new Int32Array(size);
  const lastRow = new Int32Array(size).fill(-1);
  for (let i = 0; i < topkIdx.length; i++) {
    const expert = topkIdx[i]!;
    if (expert === -1) continue;
    const rank = Math.floor(expert / slotsPerRank);
    const row = Math.floor(i / numTopk);
    const at = next[expert]!;
    if (at > start[expert]! && rows[at - 1] === row) throw repeatedExpert(expert, row);
    rows[at] = row;
    next[expert] = at + 1;
    rowOf[i] = at - start[rank * slotsPerRank]!;
    if (lastRow[rank] !== row) numTokens[rank]!++;
    lastRow[rank] = row;
  }
  return { rows, start, rowOf, numTokens };
}

/** Rows of one destination. */
export function numRowsTo({ start }: PackedLayout, rank: number, slotsPerRank: number): number {
  return start[(rank + 1) * slotsPerRank]! - start[rank * slotsPerRank]!;
}

/** [S] of one destination: rows per slot. */
export function countsTo({ start }: PackedLayout, rank: number, slotsPerRank: number): Int32Array {
  const first = rank * slotsPerRank;
  return Int32Array.from({ length: slotsPerRank }, (_, slot) => start[first + slot + 1]! - start[first + slot]!);
}

/** [S·(ranks + 1)] where the rows of each source begin among those of each slot, from counts [S] by source. */
export function layoutRangeOf(countsBySource: readonly (Int32Array | undefined)[], slotsPerRank: number): Int32Array {
  const width = countsBySource.length + 1;
  const range = new Int32Array(slotsPerRank * width);
  for (const [source, counts] of countsBySource.entries()) {
    for (let slot = 0; slot < slotsPerRank; slot++) {
      const at = slot * width + source;
      range[at + 1] = range[at]! + (counts?.[slot] ?? 0);
    }
  }
  return range;
}

/** Rows of packed arrays with `rowsPerExpert` rows per slot that belong to a source, in the order in which it sent them. */
export function packedRowsOf(range: Int32Array, source: number, numRanks: number, rowsPerExpert: number): Int32Array {
  const rows: number[] = [];
  const width = numRanks + 1;
  for (let slot = 0; slot < range.length / width; slot++) {
    const at = slot * width + source;
    for (let row = range[at]!; row < range[at + 1]!; row++) rows.push(slot * rowsPerExpert + row);
  }
  return Int32Array.from(rows);
}

function startsOf(topkIdx: Int32Array, numExperts: number): Int32Array {
  const start = new Int32Array(numExperts + 1);
  for (let i = 0; i < topkIdx.length; i++) {
    const expert = topkIdx[i]!;
    if (expert === -1) continue;
    checkExpert(expert, i, numExperts);
    start[expert + 1]!++;
  }
  for (let expert = 0; expert < numExperts; expert++) start[expert + 1]! += start[expert]!;
  return start;
}

function repeatedExpert(expert: number, row: number): CommError {
  const message = `row ${row} of topkIdx names expert ${expert} twice; name an expert once per token, or use the normal mode`;
  return new CommError('INVALID_ARGUMENT', message);
}
