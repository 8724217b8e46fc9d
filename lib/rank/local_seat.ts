/** Where a rank stands among those of its machine. Pure. */
import type { World } from '../../comm/job/world.js';

/** A rank's place among the ranks of its machine. */
export interface LocalSeat {
  /** 0 … count − 1. */
  readonly index: number;
  /** Ranks of this machine, as far as is known. */
  readonly count: number;
  /** How many of them the same process starts: fewer than `count` where a launcher started several. */
  readonly startedTogether: number;
}

/** A rank that nobody else shares its machine with. */
export const ALONE: LocalSeat = { index: 0, count: 1, startedTogether: 1 };

/** The seats of ranks that one process starts; `world`: its own place among those that a launcher started. */
export function localSeats(numRanks: number, world?: Pick<World, 'localRank' | 'localSize'>): LocalSeat[] {
  const { localRank = 0, localSize = localRank + 1 } = world ?? {};
  return Array.from({ length: numRanks }, (_, i) => ({
    index: localRank * numRanks + i,
    count: Math.max(localSize, localRank + 1) * numRanks,
    startedTogether: numRanks,
  }));
}
