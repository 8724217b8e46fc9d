/** What ranks hold, counted. Pure. */
import type { Placement } from '../../experts/placement/placement.js';

/** Of all MoE layers. */
export interface Held {
  /** Experts that no rank holds. */
  readonly numHomeless: number;
  /** Experts on ranks, each as often as ranks hold it. */
  readonly numReplicas: number;
  /** That there are. */
  readonly numExperts: number;
}

/** Of what ranks that are there hold. */
export function heldOf({ logcnt }: Placement): Held {
  const counts = logcnt.flatMap((layer) => [...layer]);
  return {
    numHomeless: counts.filter((count) => count === 0).length,
    numReplicas: counts.reduce((sum, count) => sum + count, 0),
    numExperts: counts.length,
  };
}

/** Whether nothing is missing of what there was at `first`, or as much of it as so many ranks can hold: no rank has an expert twice. */
export const isWhole = (held: Held & { readonly members: readonly number[] }, first: Held): boolean =>
  held.numHomeless === 0 && held.numReplicas >= Math.min(first.numReplicas, held.numExperts * held.members.length);

/** Experts that ranks hold and didn't hold before. */
export function movedBetween(before: Placement, after: Placement): number {
  let numMoved = 0;
  for (let layer = 0; layer < after.phy2log.length; layer++) {
    for (let rank = 0; rank < after.numRanks; rank++) {
      const had = expertsOf(before, layer, rank);
      for (const expert of expertsOf(after, layer, rank)) if (!had.has(expert)) numMoved++;
    }
  }
  return numMoved;
}

function expertsOf({ phy2log, slotsPerRank }: Placement, layer: number, rank: number): ReadonlySet<number> {
  const slots = phy2log[layer]!.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank);
  return new Set(slots.filter((expert) => expert >= 0));
}
