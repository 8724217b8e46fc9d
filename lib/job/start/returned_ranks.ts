/** What a job goes on from whose head is gone, by what the ranks say that are back. Pure. Why: docs/decisions/elastic.md#a-head-is-one-of-several-in-a-row */
import { placementFrom, type Placement } from '../../../experts/placement/placement.js';
import type { RankStanding } from '../../protocol/standing.js';
import { firstMembers, type Members } from '../members.js';

/** A member that is back. */
export interface Returned {
  readonly rank: number;
  readonly said: RankStanding;
}

/** What they come to. */
export interface Resumed {
  /** Of an epoch behind all that any of them entered. */
  readonly members: Members;
  /** What each says of its own slots; versions may differ by one, where the head died between telling one and the other. */
  readonly placement: Placement;
}

/** Members of the last epoch that one of them entered; none where nobody is back. */
export const lastMembers = (returned: readonly Returned[]): readonly number[] =>
  returned.toSorted((a, b) => b.said.epoch - a.said.epoch)[0]?.said.members ?? [];

/** `before`: the size of the job's placement. At least one must be back. */
export function resumedFrom(
  returned: readonly Returned[],
  { numRanks, numExperts, slotsPerRank, phy2log }: Placement,
): Resumed {
  const tables = phy2log.map((_, layer) => {
    const table = new Int32Array(numRanks * slotsPerRank).fill(-1);
    for (const { rank, said } of returned) table.set(said.slots[layer]!, rank * slotsPerRank);
    return table;
  });
  const after = (key: 'epoch' | 'version'): number => Math.max(...returned.map(({ said }) => said[key])) + 1;
  return {
    members: { ...firstMembers(returned.map(({ rank }) => rank)), epoch: after('epoch') },
    placement: placementFrom(after('version'), numRanks, numExperts, tables),
  };
}
