/**
 * From one placement to the next: which ranks copy which experts from where, and how much of that in each step. Pure.
 * Why: docs/decisions/rebalancing.md#experts-keep-their-slots-while-they-stay-on-their-rank
 */
import { ExpertError } from '../../compute/base/errors.js';
import { slotsOf, type Placement } from '../placement/placement.js';
import { maxRowBytes, numRowsOf, rowBytes, rowsWithin, type ExpertShape } from '../../compute/base/weight_rows.js';

/** One expert for a rank that doesn't hold it yet, however many of its slots want it. */
export interface ExpertCopy {
  readonly moeLayer: number;
  readonly logical: number;
  /** The rank that sends it; null: no rank that is left holds it, and `to` reads it from disk. */
  readonly from: number | null;
  readonly to: number;
  /** What the expert must be when it is read from disk; absent where that isn't known. */
  readonly digest?: string;
}

/** Rows of one copy that travel in one step, as weight_rows.ts numbers them. */
export interface Chunk {
  /** Index of the copy. */
  readonly copy: number;
  readonly fromRow: number;
  readonly toRow: number;
}

/** What an expert's rows are, as it travels: the same on every rank. */
export type ExpertShapeOf = (moeLayer: number, logical: number) => ExpertShape;

/** The distinct experts that a rank holds in a layer, ascending. */
export const expertsOf = (placement: Placement, moeLayer: number, rank: number): number[] =>
  [...new Set(slotsOf(placement, moeLayer, rank))].filter((logical) => logical >= 0).sort((a, b) => a - b);

/** Layers in which some rank holds other experts than before; in which slot is no reason to move. */
export function changedLayers(current: Placement, next: Placement): number[] {
  const ranks = [...Array(current.numRanks).keys()];
  const isSame = (moeLayer: number): boolean =>
    ranks.every((rank) => expertsOf(current, moeLayer, rank).join() === expertsOf(next, moeLayer, rank).join());
  return [...current.phy2log.keys()].filter((moeLayer) => !isSame(moeLayer));
}

/**
 * What has to be copied in some layers. An expert comes from a rank of the same node where one holds it, of several from the one that sends least;
 * what `current` doesn't hold at all comes from disk. Ranks are numbered node by node.
 */
export function copiesFor(
  current: Placement,
  next: Placement,
  moeLayers: readonly number[],
  ranksPerNode: number,
): ExpertCopy[] {
  const numSent = new Array<number>(current.numRanks).fill(0);
  const nodeOf = (rank: number): number => Math.floor(rank / ranksPerNode);
  const sourceFor = (moeLayer: number, logical: number, to: number): number | null => {
    const holders = [...current.log2phy[moeLayer]![logical]!].map((p) => Math.floor(p / current.slotsPerRank));
    const near = holders.filter((rank) => nodeOf(rank) === nodeOf(to));
    const able = near.length > 0 ? near : holders;
    return able.reduce<number | null>(
      (best, rank) => (best === null || numSent[rank]! < numSent[best]! ? rank : best),
      null,
    );
  };
  return moeLayers.flatMap((moeLayer) =>
    [...numSent.keys()].flatMap((to) => {
      const held = new Set(expertsOf(current, moeLayer, to));
      const wanted = expertsOf(next, moeLayer, to).filter((logical) => !held.has(logical));
      return wanted.map((logical) => {
        const from = sourceFor(moeLayer, logical, to);
        if (from !== null) numSent[from]!++;
        return { moeLayer, logical, from, to };
      });
    }),
  );
}

/**
 * What travels in which step: no rank sends or receives more than `bytesPerStep` in one. There are as few steps as that takes, and each brings about as much:
 * a step beside which little moves is hardly longer. Every rank makes the same schedule of the same copies.
 * @throws ExpertError INVALID_ARGUMENT for a budget below a row
 */
export function scheduleOf(copies: readonly ExpertCopy[], shapeOf: ExpertShapeOf, bytesPerStep: number): Chunk[][] {
  const shapes = copies.map(({ moeLayer, logical }) => shapeOf(moeLayer, logical));
  const mostRowBytes = Math.max(0, ...shapes.map(maxRowBytes));
  if (!(bytesPerStep >= mostRowBytes)) {
    const message = `${bytesPerStep} bytes per step, a row has ${mostRowBytes}; give at least as many`;
    throw new ExpertError('INVALID_ARGUMENT', message);
  }
  const fewest = greedySchedule(copies, shapes, bytesPerStep);
  // Where a copy ends, a row of the next one may not fit.
  const even = Math.ceil(busiestBytes(copies, shapes) / fewest.length) + mostRowBytes;
  if (fewest.length < 2 || even >= bytesPerStep) return fewest;
  const evened = greedySchedule(copies, shapes, even);
  return evened.length === fewest.length ? evened : fewest;
}

/** That one rank sends, or that one receives. */
function busiestBytes(copies: readonly ExpertCopy[], shapes: readonly ExpertShape[]): number {
  const most = (rankOf: (copy: ExpertCopy) => number | null): number => {
    const sums = new Map<number | null, number>();
    for (const [i, copy] of copies.entries()) {
      const bytes = copy.from === null ? 0 : rowBytes(shapes[i]!, 0, numRowsOf(shapes[i]!));
      sums.set(rankOf(copy), (sums.get(rankOf(copy)) ?? 0) + bytes);
    }
    return Math.max(0, ...sums.values());
  };
  return Math.max(
    most(({ from }) => from),
    most(({ to }) => to),
  );
}

/** As much as fits into each step. */
function greedySchedule(
  copies: readonly ExpertCopy[],
  shapes: readonly ExpertShape[],
  bytesPerStep: number,
): Chunk[][] {
  const ends = copies.map(({ from }, copy) => (from === null ? 0 : numRowsOf(shapes[copy]!)));
  const reached = copies.map(() => 0);
  const steps: Chunk[][] = [];
  while (reached.some((row, copy) => row < ends[copy]!)) {
    const sent = new Map<number, number>();
    const received = new Map<number, number>();
    const chunks: Chunk[] = [];
    for (const [copy, { from, to }] of copies.entries()) {
      const fromRow = reached[copy]!;
      const shape = shapes[copy]!;
      if (from === null || fromRow === ends[copy]) continue;
      const [out, into] = [sent.get(from) ?? 0, received.get(to) ?? 0];
      const toRow = rowsWithin(shape, fromRow, bytesPerStep - Math.max(out, into));
      if (toRow === fromRow) continue;
      const bytes = rowBytes(shape, fromRow, toRow);
      sent.set(from, out + bytes);
      received.set(to, into + bytes);
      chunks.push({ copy, fromRow, toRow });
      reached[copy] = toRow;
    }
    steps.push(chunks);
  }
  return steps;
}
