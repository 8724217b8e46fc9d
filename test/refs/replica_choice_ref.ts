/** Choices of replicas, obviously right and slow. */
import type { Placement } from '../../experts/placement/placement.js';

/** The physical experts that hold a logical one, and where each is. */
export const replicasOf = ({ phy2log, slotsPerRank }: Placement, layer: number, logical: number) =>
  [...phy2log[layer]!.keys()]
    .filter((p) => phy2log[layer]![p] === logical)
    .map((p) => ({ p, rank: Math.floor(p / slotsPerRank) }));

/** Candidates in turn: the i-th time that an expert is chosen, number rank + i of those that `prefer` leaves. */
export function inTurnRef(
  topkIdx: readonly number[],
  placement: Placement,
  layer: number,
  rank: number,
  ranksPerNode: number | null,
): number[] {
  return topkIdx.map((logical, at) => {
    const all = replicasOf(placement, layer, logical);
    if (logical < 0 || all.length === 0) return -1;
    const own = all.filter((replica) => replica.rank === rank);
    const nodeOf = (r: number): number => Math.floor(r / ranksPerNode!);
    const near = all.filter((replica) => ranksPerNode !== null && nodeOf(replica.rank) === nodeOf(rank));
    const candidates = ranksPerNode === null ? all : ([own, near, all].find(({ length }) => length > 0) ?? all);
    const before = topkIdx.slice(0, at).filter((other) => other === logical).length;
    return candidates[(rank + before) % candidates.length]!.p;
  });
}

/** [R] choices that go to each rank. */
export function sentTo({ numRanks, slotsPerRank }: Placement, physical: readonly number[]): number[] {
  const loads = new Array<number>(numRanks).fill(0);
  for (const p of physical) if (p >= 0) loads[Math.floor(p / slotsPerRank)]!++;
  return loads;
}

/** [E] */
export const countsOfRef = (topkIdx: readonly number[], numExperts: number): number[] =>
  Array.from({ length: numExperts }, (_, e) => topkIdx.filter((logical) => logical === e).length);
