/** Which ranks a job has, epoch by epoch. Pure. Why: docs/decisions/losses.md#losses-that-are-masked */
import type { EngineError } from '../protocol/errors.js';

/** A rank without which the job goes on, and why. */
export interface LostRank {
  readonly rank: number;
  readonly error: EngineError;
}

/** What an epoch begins with. */
export interface MembersChange {
  readonly joined: readonly number[];
  readonly left: readonly LostRank[];
}

/** The ranks of one epoch. */
export interface Members {
  readonly epoch: number;
  readonly present: ReadonlySet<number>;
  /** All that left so far, in that order. */
  readonly left: readonly LostRank[];
}

/** Those of the next epoch. `members`: null before the first one, number 0, which all ranks join. */
export function membersAfter(members: Members | null, { joined, left }: MembersChange): Members {
  const present = new Set([...(members?.present ?? []), ...joined]);
  for (const { rank } of left) present.delete(rank);
  return { epoch: (members?.epoch ?? -1) + 1, present, left: [...(members?.left ?? []), ...left] };
}
