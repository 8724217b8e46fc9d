/**
 * Which rank holds which expert: pure tables, no tensors. Maps are named by both ends, as in EPLB: `phy2log`, `log2phy`, `logcnt`.
 * Physical expert p is slot p mod slotsPerRank of rank ⌊p / slotsPerRank⌋; where the experts don't divide by the ranks, the last slots
 * of some ranks stay empty (−1).
 * Why: docs/decisions/placement.md#the-tables-are-those-of-eplb
 */
import { ExpertError } from '../../compute/base/errors.js';
import { countsOf, mostOf, type ExpertCounts } from './expert_counts.js';

/** How experts can be spread without a plan. */
export const PLACEMENT_STRATEGIES = ['linear', 'round_robin'] as const;
/** `linear`: contiguous runs of experts per rank; `round_robin`: expert e on rank e mod ranks. */
export type PlacementStrategy = (typeof PLACEMENT_STRATEGIES)[number];

/** Immutable; a change is a new version, swapped in between two steps. */
export interface Placement {
  readonly version: number;
  readonly numRanks: number;
  /** [L] logical experts of each MoE layer. */
  readonly numExperts: readonly number[];
  readonly slotsPerRank: number;
  /** Per layer [numRanks·slotsPerRank]: the logical expert in each slot, −1 = empty. */
  readonly phy2log: readonly Int32Array[];
  /** Per layer [E]: the physical experts that hold each logical one, ascending. */
  readonly log2phy: readonly (readonly Int32Array[])[];
  /** Per layer [E]: how many replicas each logical expert has. */
  readonly logcnt: readonly Int32Array[];
}

/** What a placement is made for. `numLayers`: MoE layers alone. */
export interface PlacementShape {
  readonly numLayers: number;
  readonly numExperts: ExpertCounts;
  readonly numRanks: number;
}

/** One replica of every expert, the same for each layer with as many. Ranks beyond the number of experts hold none. */
export function createPlacement(
  strategy: PlacementStrategy,
  { numLayers, numExperts, numRanks }: PlacementShape,
): Placement {
  const counts = countsOf(numExperts, numLayers);
  const fewest = Math.min(...counts, typeof numExperts === 'number' ? numExperts : Infinity);
  if (numRanks < 1 || fewest < 1 || numLayers < 0) {
    throw new ExpertError('INVALID_ARGUMENT', `${fewest} experts on ${numRanks} ranks: give at least one of each`);
  }
  const slotsPerRank = Math.ceil(mostOf(counts) / numRanks);
  const tables = new Map(counts.map((count) => [count, tableOf(strategy, count, numRanks, slotsPerRank)]));
  const phy2log = counts.map((count) => tables.get(count)!);
  return placementFrom(0, numRanks, counts, phy2log);
}

function tableOf(strategy: PlacementStrategy, numExperts: number, numRanks: number, slotsPerRank: number): Int32Array {
  const phy2log = new Int32Array(numRanks * slotsPerRank).fill(-1);
  const numHeld = new Int32Array(numRanks);
  for (let e = 0; e < numExperts; e++) {
    const rank = rankFor(strategy, e, numExperts, numRanks);
    phy2log[rank * slotsPerRank + numHeld[rank]!++] = e;
  }
  return phy2log;
}

/** The first (E mod ranks) ranks of `linear` hold one expert more than the others. */
function rankFor(strategy: PlacementStrategy, expert: number, numExperts: number, numRanks: number): number {
  if (strategy === 'round_robin') return expert % numRanks;
  const base = Math.floor(numExperts / numRanks);
  const larger = numExperts % numRanks;
  const inLarger = larger * (base + 1);
  return expert < inLarger ? Math.floor(expert / (base + 1)) : larger + Math.floor((expert - inLarger) / base);
}

/** Completes a placement from its `phy2log` tables. */
export function placementFrom(
  version: number,
  numRanks: number,
  numExperts: ExpertCounts,
  phy2log: readonly Int32Array[],
): Placement {
  const counts = countsOf(numExperts, phy2log.length);
  const log2phy = phy2log.map((table, layer) => invert(table, counts[layer]!));
  return {
    version,
    numRanks,
    numExperts: counts,
    slotsPerRank: (phy2log[0]?.length ?? 0) / numRanks,
    phy2log,
    log2phy,
    logcnt: log2phy.map((replicas) => Int32Array.from(replicas, (held) => held.length)),
  };
}

function invert(phy2log: Int32Array, numExperts: number): Int32Array[] {
  const replicas = Array.from({ length: numExperts }, (): number[] => []);
  phy2log.forEach((logical, physical) => {
    if (logical >= 0) replicas[logical]!.push(physical);
  });
  return replicas.map((held) => Int32Array.from(held));
}

/** Logical experts in a rank's slots, −1 = empty. */
export const slotsOf = ({ phy2log, slotsPerRank }: Placement, moeLayer: number, rank: number): Int32Array =>
  phy2log[moeLayer]!.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank);

/** The rank that holds a physical expert. */
export const rankOf = (placement: Placement, physical: number): number => Math.floor(physical / placement.slotsPerRank);

/**
 * The same placement without what the given ranks hold: their slots are empty, so choices fall on replicas elsewhere, and `logcnt` is 0 for
 * an expert that no other rank holds. Slots keep their numbers.
 */
export function withoutRanks(placement: Placement, ranks: readonly number[]): Placement {
  const { version, numRanks, numExperts, slotsPerRank, phy2log } = placement;
  const left = phy2log.map((table) => {
    const kept = table.slice();
    for (const rank of ranks) kept.fill(-1, rank * slotsPerRank, (rank + 1) * slotsPerRank);
    return kept;
  });
  return { ...placementFrom(version, numRanks, numExperts, left), slotsPerRank };
}

/** A later version of a placement, with other tables in some of its MoE layers. */
export function withLayers(
  { numRanks, numExperts, phy2log }: Placement,
  version: number,
  layers: readonly { readonly moeLayer: number; readonly phy2log: Int32Array }[],
): Placement {
  const tables = [...phy2log];
  for (const { moeLayer, phy2log: table } of layers) tables[moeLayer] = table;
  return placementFrom(version, numRanks, numExperts, tables);
}

/** The ranks that hold some physical experts; −1 stays −1. */
export const ranksOf = ({ slotsPerRank }: Placement, physical: Int32Array): Int32Array =>
  physical.map((p) => (p < 0 ? -1 : Math.floor(p / slotsPerRank)));

/** The rows, ascending, of which at least one choice [T·K] of any MoE layer fell on an expert that has no replica left. */
export function degradedRows(placement: Placement, topkIdxByLayer: readonly Int32Array[], numTopk: number): number[] {
  const rows = new Set<number>();
  for (const [moeLayer, topkIdx] of topkIdxByLayer.entries()) {
    const logcnt = placement.logcnt[moeLayer]!;
    if (!logcnt.includes(0)) continue; // the usual case
    topkIdx.forEach((logical, i) => {
      if (logical >= 0 && logcnt[logical] === 0) rows.add(Math.floor(i / numTopk));
    });
  }
  return [...rows].sort((a, b) => a - b);
}
