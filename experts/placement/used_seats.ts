/** A placement as people see it: a job has seats that nobody ever took, and slots for experts that no rank holds yet. Pure. */
import { placementFrom, slotsOf, type Placement } from './placement.js';

/** The first `numRanks` seats, with as many slots as one of them uses; further seats hold nothing. The same object where nothing is left out. */
export function usedSeats(placement: Placement, numRanks: number): Placement {
  const { version, numExperts } = placement;
  const slotsPerRank = Math.max(...placement.phy2log.map((table) => usedSlots(placement, table)), 1);
  if (numRanks === placement.numRanks && slotsPerRank === placement.slotsPerRank) return placement;
  const narrowed = new Map(
    placement.phy2log.map((table, moeLayer) => [table, narrower(placement, moeLayer, numRanks, slotsPerRank)]), // layers often share one
  );
  const tables = placement.phy2log.map((table) => narrowed.get(table)!);
  return placementFrom(version, numRanks, numExperts, tables);
}

function usedSlots({ slotsPerRank }: Placement, table: Int32Array): number {
  let used = 0;
  for (const [p, logical] of table.entries()) if (logical >= 0) used = Math.max(used, (p % slotsPerRank) + 1);
  return used;
}

function narrower(placement: Placement, moeLayer: number, numRanks: number, slotsPerRank: number): Int32Array {
  const table = new Int32Array(numRanks * slotsPerRank).fill(-1);
  for (let rank = 0; rank < numRanks; rank++) {
    table.set(slotsOf(placement, moeLayer, rank).subarray(0, slotsPerRank), rank * slotsPerRank);
  }
  return table;
}
