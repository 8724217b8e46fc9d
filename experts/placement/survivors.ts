/** Placements over the ranks that are left, numbered without gaps, as planners want them; and back. Pure. */
import { placementFrom, type Placement } from './placement.js';

/** What the given ranks hold; rank i of the result is `ranks[i]`. */
export function compacted(placement: Placement, ranks: readonly number[]): Placement {
  const { version, numExperts, slotsPerRank, phy2log } = placement;
  const tables = phy2log.map((table) =>
    Int32Array.from({ length: ranks.length * slotsPerRank }, (_, p) => {
      return table[ranks[Math.floor(p / slotsPerRank)]! * slotsPerRank + (p % slotsPerRank)]!;
    }),
  );
  return placementFrom(version, ranks.length, numExperts, tables);
}

/** The inverse, in the layout of `numRanks` ranks with `slotsPerRank` slots, of which a plan may use fewer; other ranks hold nothing. */
export function expanded(
  plan: Placement,
  ranks: readonly number[],
  { numRanks, slotsPerRank }: Pick<Placement, 'numRanks' | 'slotsPerRank'>,
): Int32Array[] {
  return plan.phy2log.map((table) => {
    const whole = new Int32Array(numRanks * slotsPerRank).fill(-1);
    for (const [i, rank] of ranks.entries()) {
      whole.set(table.subarray(i * plan.slotsPerRank, (i + 1) * plan.slotsPerRank), rank * slotsPerRank);
    }
    return whole;
  });
}
