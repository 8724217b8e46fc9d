/**
 * Which ranks a job has, epoch by epoch: one mechanism for ranks that join, leave, are lost or hold no experts any more. Pure.
 * Why: docs/decisions/elastic.md#every-change-is-an-epoch
 */
import type { EngineError } from '../protocol/errors.js';

/** A rank without which the job goes on, and why. */
export interface LostRank {
  readonly rank: number;
  readonly error: EngineError;
}

/** What an epoch begins with, by seat; of what isn't there nothing changes. */
export interface MembersChange {
  readonly lost?: readonly LostRank[];
  /** They hold no experts yet. */
  readonly joined?: readonly number[];
  /** They are about to go. */
  readonly leaving?: readonly number[];
  /** They won't go after all. */
  readonly staying?: readonly number[];
  /** They have gone: nobody needs them any more. */
  readonly left?: readonly number[];
  /** They hold no experts from now on. */
  readonly demoted?: readonly number[];
  /** They may hold experts again. */
  readonly promoted?: readonly number[];
}

/** The ranks of one epoch, by seat. */
export interface Members {
  readonly epoch: number;
  /** They take part in steps. */
  readonly present: ReadonlySet<number>;
  /** Those of them that fell behind: their experts go to others, their sequences stay. */
  readonly demoted: ReadonlySet<number>;
  /** Those of them that are about to go: their experts and sequences go to others. */
  readonly leaving: ReadonlySet<number>;
}

/** Those of the first epoch, number 0. */
export const firstMembers = (ranks: Iterable<number>): Members => ({
  epoch: 0,
  present: new Set(ranks),
  demoted: new Set(),
  leaving: new Set(),
});

/** Those of the next epoch. */
export function membersAfter(members: Members, change: MembersChange): Members {
  const { joined = [], left = [], lost = [], leaving = [], staying = [], demoted = [], promoted = [] } = change;
  const gone = new Set([...left, ...lost.map(({ rank }) => rank)]);
  const present = new Set([...members.present, ...joined].filter((rank) => !gone.has(rank)).sort((a, b) => a - b));
  const marked = (before: Iterable<number>, now: readonly number[], without: readonly number[]): Set<number> =>
    new Set([...before, ...now].filter((rank) => present.has(rank) && !without.includes(rank)));
  return {
    epoch: members.epoch + 1,
    present,
    demoted: marked(members.demoted, demoted, [...promoted, ...joined]),
    leaving: marked(members.leaving, leaving, [...staying, ...joined]),
  };
}

/** The ranks that may be given sequences, ascending; all of them where none else is left. */
export function takersOf({ present, leaving }: Members): readonly number[] {
  const those = [...present].filter((rank) => !leaving.has(rank));
  return those.length > 0 ? those : [...present];
}

/** The ranks that may hold experts, ascending; where all of those that stay fell behind, they may. */
export function holdersOf(members: Members): readonly number[] {
  const takers = takersOf(members);
  const those = takers.filter((rank) => !members.demoted.has(rank));
  return those.length > 0 ? those : takers;
}
