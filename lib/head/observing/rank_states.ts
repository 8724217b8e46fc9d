/** What has become of each rank of a job, by seat. Pure. */
import type { LostRank, Members } from '../../job/members.js';

/**
 * `demoted`: it fell behind and holds no experts. `leaving`: it gives experts and sequences away. `lost`: it was, and nobody has its seat since then.
 * `left`: it went as somebody wanted, or nobody came to its seat yet.
 */
export type RankState = 'present' | 'demoted' | 'leaving' | 'lost' | 'left';

/** What an epoch changes. */
export interface RankChange {
  readonly members: Pick<Members, 'present' | 'demoted' | 'leaving'>;
  readonly lost: readonly Pick<LostRank, 'rank'>[];
}

/** After an epoch: of all seats up to the highest that was ever taken. */
export function statesAfter(before: readonly RankState[], { members, lost }: RankChange): readonly RankState[] {
  const numRanks = Math.max(before.length, ...[...members.present].map((rank) => rank + 1));
  return Array.from({ length: numRanks }, (_, rank): RankState => {
    if (members.leaving.has(rank)) return 'leaving';
    if (members.demoted.has(rank)) return 'demoted';
    if (members.present.has(rank)) return 'present';
    const isLost = before[rank] === 'lost' || lost.some((each) => each.rank === rank);
    return isLost ? 'lost' : 'left';
  });
}

/** Whether a rank takes part in steps. */
export const isThere = (state: RankState | undefined): boolean =>
  state === 'present' || state === 'demoted' || state === 'leaving';
