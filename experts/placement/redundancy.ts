/** Further copies of experts where nothing is known about load: the same for all experts, on as many ranks as possible. Pure. */
import { ExpertError } from '../../compute/base/errors.js';
import { mostOf } from './expert_counts.js';
import { placementFrom, type Placement } from './placement.js';

/**
 * A placement of one replica per expert with `numRedundant` more slots over all ranks, per layer; every expert keeps its slot's rank and place there.
 * 1. Copies go round the experts, first slots of all ranks first: each expert gets ⌊numRedundant / E⌋ of them, and the first ones one more.
 * 2. A copy goes to the rank with the fewest experts among those that lack this one, of several to the next after the one that had it first.
 * Up to E copies, ranks hold equally many to within one; beyond, to within a few. A layer with fewer experts than another has no more copies than make it whole on every rank.
 * @throws ExpertError INVALID_ARGUMENT when there are more copies than ranks that lack an expert
 */
export function withRedundancy(base: Placement, numRedundant: number): Placement {
  const { version, numRanks, numExperts, phy2log } = base;
  const numMost = mostOf(numExperts);
  const most = numMost * (numRanks - 1);
  if (!Number.isSafeInteger(numRedundant) || numRedundant < 0 || numRedundant > most) {
    const ranks = `${numRanks} ${numRanks === 1 ? 'rank' : 'ranks'}`;
    throw new ExpertError(
      'INVALID_ARGUMENT',
      `${numRedundant} redundant experts don't fit ${numMost} experts on ${ranks}: with ${most} every rank holds every expert; ` +
        `give a whole number from 0 to ${most}`,
    );
  }
  if (numRedundant === 0) return base;
  const copiesOf = (layer: number): number => Math.min(numRedundant, numExperts[layer]! * (numRanks - 1));
  const tables = new Map(phy2log.map((table, layer) => [table, filled(table, base, copiesOf(layer))])); // layers often share one
  const all = phy2log.map((table) => tables.get(table)!);
  const width = Math.max(...all.flat().map((held) => held.length));
  return placementFrom(
    version,
    numRanks,
    numExperts,
    all.map((held_R) => Int32Array.from({ length: numRanks * width }, (_, p) => slotOf(held_R, p, width))),
  );
}

const slotOf = (held_R: readonly (readonly number[])[], p: number, width: number): number =>
  held_R[Math.floor(p / width)]![p % width] ?? -1;

/** What each rank holds, slot by slot. */
function filled(table: Int32Array, { numRanks, slotsPerRank }: Placement, numRedundant: number): number[][] {
  const held_R = Array.from({ length: numRanks }, (_, rank) => [
    ...table.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank).filter((logical) => logical >= 0),
  ]);
  const sets = held_R.map((held) => new Set(held));
  const order = Array.from({ length: slotsPerRank }, (_, slot) =>
    held_R.flatMap((held, home) => (slot < held.length ? [{ logical: held[slot]!, home }] : [])),
  ).flat();
  for (let copy = 0; copy < numRedundant; copy++) {
    const { logical, home } = order[copy % order.length]!;
    let target = -1;
    for (let i = 1; i < numRanks; i++) {
      const rank = (home + i) % numRanks;
      if (sets[rank]!.has(logical)) continue;
      if (target < 0 || held_R[rank]!.length < held_R[target]!.length) target = rank;
    }
    held_R[target]!.push(logical);
    sets[target]!.add(logical);
  }
  return held_R;
}
