/** Placements of one layer, obviously right and slow: every subset, every table, every change. */

import type { Placement } from '../../experts/placement/placement.js';

/** [R] lists of the experts that each rank holds. */
export type Held = readonly (readonly number[])[];

/** The experts of each rank of one layer. */
export const heldOf = ({ phy2log, numRanks, slotsPerRank }: Placement, layer: number): number[][] =>
  Array.from({ length: numRanks }, (_, rank) =>
    [...phy2log[layer]!.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank)].filter((logical) => logical >= 0),
  );

/** Rank loads when every expert's replicas share evenly. */
export function evenLoads(load: readonly number[], held: Held): number[] {
  const all = held.flat();
  return held.map((experts) =>
    experts.reduce((sum, e) => sum + load[e]! / all.filter((other) => other === e).length, 0),
  );
}

/** For each set of ranks: which they are, and the load of the experts that nobody else holds. */
function* subsets(load: readonly number[], held: Held): Generator<{ ranks: readonly number[]; bound: number }> {
  for (let subset = 1; subset < 2 ** held.length; subset++) {
    const ranks = [...held.keys()].filter((rank) => ((subset >> rank) & 1) === 1);
    const bound_E = load.map((weight, e) => {
      const holders = held.flatMap((experts, rank) => (experts.includes(e) ? [rank] : []));
      return holders.length > 0 && holders.every((rank) => ranks.includes(rank)) ? weight : 0;
    });
    yield { ranks, bound: sum(bound_E) };
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/**
 * The lowest maximum of rank loads, or of load / capacity, over all splits, by duality: what experts that only the ranks of a subset hold bring on
 * average to each of them, at most over all subsets.
 */
export function lowestMaximum(
  load: readonly number[],
  held: Held,
  capacities: readonly number[] = held.map(() => 1),
): number {
  const bounds = [...subsets(load, held)].map(
    ({ ranks, bound }) => bound / sum(ranks.map((rank) => capacities[rank]!)),
  );
  return Math.max(0, ...bounds);
}

/** The same of splits in whole numbers: the first of all times that whole loads take on some rank in which every subset can compute its own. */
export function lowestWholeTime(counts: readonly number[], held: Held, capacities: readonly number[]): number {
  const total = sum(counts);
  const times = capacities.flatMap((capacity) => Array.from({ length: total + 1 }, (_, count) => count / capacity));
  const sets = [...subsets(counts, held)];
  const roomIn = (time: number, rank: number): number =>
    Array.from({ length: total + 1 }, (_, count) => count).filter((count) => count / capacities[rank]! <= time).length -
    1;
  const fits = (time: number): boolean =>
    sets.every(({ ranks, bound }) => bound <= sum(ranks.map((rank) => roomIn(time, rank))));
  return times.sort((a, b) => a - b).find(fits)!;
}

/** Balancedness of the best placement there is: every way to give each rank its number of different experts, all of them held by some rank. */
export function bestBalancedness(
  load: readonly number[],
  capacities: readonly number[],
  highestOf: (load: readonly number[], held: Held) => number,
): number {
  const mean = load.reduce((a, b) => a + b, 0) / capacities.length;
  let lowest = Infinity;
  const visit = (held: Held): void => {
    if (held.length < capacities.length) {
      for (const experts of choices(load.length, capacities[held.length]!)) visit([...held, experts]);
    } else if (load.every((_, e) => held.some((experts) => experts.includes(e)))) {
      lowest = Math.min(lowest, highestOf(load, held));
    }
  };
  visit([]);
  return lowest === 0 ? 1 : mean / lowest;
}

/** Every way to choose `count` of 0 … size − 1, or all of them. */
function choices(size: number, count: number, from = 0): number[][] {
  if (count === 0 || from === size) return [[]];
  const withFirst = choices(size, count - 1, from + 1).map((rest) => [from, ...rest]);
  const without = size - from - 1 >= count ? choices(size, count, from + 1) : [];
  return [...withFirst, ...without];
}

/** What eplb_stable lowers: Σ (rank load / mean)² / capacity + risk · Σ over experts of (load / mean)² / replicas. */
export function expectedSquares(
  load: readonly number[],
  held: Held,
  risk: number,
  capacities: readonly number[] = held.map(() => 1),
): number {
  const total = load.reduce((a, b) => a + b, 0);
  const mean = total === 0 ? 1 : total / held.length;
  const squares = sum(evenLoads(load, held).map((rankLoad, rank) => (rankLoad / mean) ** 2 / capacities[rank]!));
  const all = held.flat();
  const spread = load.reduce((sum, w, e) => sum + (w / mean) ** 2 / all.filter((other) => other === e).length, 0);
  return squares + risk * spread;
}
