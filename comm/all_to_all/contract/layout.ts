/** Which rows go to which rank: pure, from the routing alone. T tokens, K choices per token, n rows to one rank. */
import { CommError } from '../../base/errors.js';

/** How choices of experts map to ranks. */
export interface LayoutShape {
  /** K */
  readonly numTopk: number;
  /** Physical expert p lives on rank ⌊p / slotsPerRank⌋ in slot p mod slotsPerRank. */
  readonly slotsPerRank: number;
  /** Ranks. */
  readonly size: number;
}

/** What one destination rank gets. */
export interface DestinationLayout {
  /** [n] source rows with at least one expert there: ascending, each once. */
  readonly rows: Int32Array;
  /** [n·K] local slots there; −1 where the choice lives elsewhere or nowhere. */
  readonly slots: Int16Array;
  /** Choices that live there: entries of `slots` that aren't −1. */
  readonly numPairs: number;
}

/** [n·K] physical experts of a mesh, or slots of a node; −1 = none. */
export type ExpertChoices = Int32Array | Int16Array;

/**
 * One entry per rank for `topkIdx` [T·K] of physical experts, −1 = none.
 * @throws CommError INVALID_ARGUMENT on an expert that no rank has.
 */
export function layoutOf(topkIdx: ExpertChoices, shape: LayoutShape): DestinationLayout[] {
  const numRows = countRows(topkIdx, shape);
  const layouts: { rows: Int32Array; slots: Int16Array; numPairs: number }[] = [];
  for (let rank = 0; rank < shape.size; rank++) {
    const n = numRows[rank]!;
    layouts.push({ rows: new Int32Array(n), slots: new Int16Array(n * shape.numTopk).fill(-1), numPairs: 0 });
  }
  fill(topkIdx, shape, layouts);
  return layouts;
}

/** [size] distinct rows per destination; checks the experts' range on the way. Whole divisions: with `Math.floor` they are floating. */
function countRows(topkIdx: ExpertChoices, { numTopk, slotsPerRank, size }: LayoutShape): Int32Array {
  const numRows = new Int32Array(size);
  const lastRow = new Int32Array(size).fill(-1);
  const numExperts = size * slotsPerRank;
  for (let row = 0, i = 0; i < topkIdx.length; row++) {
    for (const end = i + numTopk; i < end; i++) {
      const expert = topkIdx[i]!;
      if (expert === -1) continue;
      checkExpert(expert, i, numExperts);
      const rank = (expert / slotsPerRank) | 0;
      if (lastRow[rank] === row) continue;
      lastRow[rank] = row;
      numRows[rank]!++;
    }
  }
  return numRows;
}

function fill(
  topkIdx: ExpertChoices,
  { numTopk, slotsPerRank, size }: LayoutShape,
  layouts: { rows: Int32Array; slots: Int16Array; numPairs: number }[],
): void {
  const filled = new Int32Array(size);
  for (let row = 0, i = 0; i < topkIdx.length; row++) {
    const begin = i;
    for (const end = i + numTopk; i < end; i++) {
      const expert = topkIdx[i]!;
      if (expert === -1) continue;
      const rank = (expert / slotsPerRank) | 0;
      const layout = layouts[rank]!;
      let n = filled[rank]!;
      if (n === 0 || layout.rows[n - 1] !== row) {
        layout.rows[n] = row;
        n = filled[rank] = n + 1;
      }
      layout.slots[(n - 1) * numTopk + i - begin] = expert - rank * slotsPerRank;
      layout.numPairs++;
    }
  }
}

/** @throws CommError INVALID_ARGUMENT on `topkIdx[index] = expert` that no rank has. */
export function checkExpert(expert: number, index: number, numExperts: number): void {
  if (expert >= 0 && expert < numExperts) return;
  const message = `topkIdx[${index}] is ${expert}; pass physical experts from 0 to ${numExperts - 1}, or -1 for none`;
  throw new CommError('INVALID_ARGUMENT', message);
}
