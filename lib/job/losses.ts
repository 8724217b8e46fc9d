/**
 * How a job comes from one epoch to the next: what is heard of a loss is gathered for a moment, one decision says who is lost, the nearest cause first,
 * and the policy ends the job with that cause, or cuts the lost ranks off and goes on with the others in a new epoch, which all of them are to enter.
 * What was planned changes the members between two losses. Pure: what happens comes in, decisions go out; `LossWatch` has the clocks.
 * Why: docs/decisions/losses.md#losses-that-are-masked
 */
import { EngineError } from '../protocol/errors.js';
import type { Accusation, FailureReport } from './failure_report.js';
import type { LossPolicy } from '../config/loss_policy.js';
import { firstMembers, membersAfter, type LostRank, type Members, type MembersChange } from './members.js';

/** What follows from what was heard. */
export interface Decision {
  /** What may be left of these must end, so that they can't come back. */
  readonly lost: readonly LostRank[];
  /** Of these, how many were about to go anyway. */
  readonly wereLeaving: number;
  /** Why the job ends; null: nothing of the running step counts, and all that are left are to enter the next epoch. */
  readonly end: EngineError | null;
}

/** Who is left, who is being accused, and who still has to enter the epoch. */
export class Losses {
  private current: Members;
  /** What is being gathered. */
  private reports: readonly FailureReport[] = [];
  /** Members that have not entered the current epoch yet. */
  private absent = new Set<number>();

  /** `first`: of a job of ranks 0 … n − 1, so many, or those of an epoch that they are to enter. */
  constructor(
    private readonly policy: LossPolicy,
    first: number | Members,
  ) {
    this.current = typeof first === 'number' ? firstMembers(Array(first).keys()) : first;
    if (typeof first !== 'number') this.absent = new Set(first.present);
  }

  get members(): Members {
    return this.current;
  }

  get entering(): ReadonlySet<number> {
    return this.absent;
  }

  get isGathering(): boolean {
    return this.reports.length > 0;
  }

  /** What comes from ranks that are lost already, or is about them alone, tells nothing new. Null: {@link decide} when a moment is over. */
  hear(report: FailureReport): Decision | null {
    const { present } = this.current;
    const about = report.about.filter((rank) => present.has(rank));
    if (about.length === 0 || (report.kind === 'accusation' && !present.has(report.from))) return null;
    this.reports = [...this.reports, { ...report, about }];
    // Where a loss ends the job, the better word of a rank that ended is always waited for.
    return this.policy !== 'fail' && isWholeStory(this.reports, present) ? this.decide() : null;
  }

  /** From what was heard since the last decision. */
  decide(): Decision {
    const lost = lostRanks(this.reports, this.policy);
    this.reports = [];
    if (this.policy === 'fail') return { lost: [], wereLeaving: 0, end: lost[0]!.error };
    const { leaving } = this.current;
    this.begin({ lost });
    const wereLeaving = lost.filter(({ rank }) => leaving.has(rank)).length;
    return { lost, wereLeaving, end: this.absent.size > 0 ? null : nobodyLeft(lost) };
  }

  /** Begins a planned epoch, between two steps; false where losses come first, or not all are in the current epoch: then nothing changes. */
  plan(change: MembersChange): boolean {
    if (this.isGathering || this.absent.size > 0) return false;
    this.begin(change);
    return true;
  }

  private begin(change: MembersChange): void {
    this.current = membersAfter(this.current, change);
    this.absent = new Set(this.current.present);
  }

  /** A rank says that it left everything of earlier epochs behind. */
  enter(rank: number, epoch: number): void {
    if (epoch === this.current.epoch) this.absent.delete(rank);
  }
}

function nobodyLeft(last: readonly LostRank[]): EngineError {
  const reasons = [...new Set(last.map(({ error }) => error.reason))].join(', and ');
  const text = `no rank is left to go on with: ${reasons}; look at the last lines above and start the job again`;
  return new EngineError('RANK_LOST', text, { rank: last[0]!.rank });
}

/**
 * The ranks that the job can't go on with, each with the nearest cause that is told of it; the nearest of all comes first. A rank that ended
 * explains whoever accuses it. Where nobody ended, one rank after another is given up until every accusation is explained: first those that are
 * silent themselves, then those whom most accuse, then the higher number (two ranks whose link was cut accuse each other). Where nobody is
 * accused either, those that are late are lost.
 */
export function lostRanks(all: readonly FailureReport[], policy: LossPolicy): LostRank[] {
  const first = all.find(({ isFirst }) => isFirst);
  const reports = all.filter(({ about }) => about.every((rank) => first?.about.includes(rank) ?? true));
  const lost = new Map<number, EngineError>();
  const lose = ({ about, error }: FailureReport): void => {
    for (const rank of about) if (!lost.has(rank)) lost.set(rank, error);
  };
  endsIn(reports, policy).forEach(lose);
  const accusations = accusationsIn(reports);
  const unexplainedYet = (): readonly Accusation[] => unexplained(accusations, lost.keys());
  for (let open = unexplainedYet(); open.length > 0; open = unexplainedYet()) {
    const worst = mostBlamed(open, accusations);
    const { error } = open.find(({ about }) => about.includes(worst))!;
    lost.set(worst, error);
  }
  if (lost.size === 0) reports.forEach(lose);
  return [...lost].map(([rank, error]) => ({ rank, error }));
}

/** Kinds that tell of a rank's end, from nearest to the cause to farthest from it. */
const ENDS: readonly FailureReport['kind'][] = ['own_failure', 'exit', 'disconnect'];

/** Nearest the cause first. */
function endsIn(reports: readonly FailureReport[], policy: LossPolicy): FailureReport[] {
  // Where losses end the job, a rank that accuses another one ends itself: its end tells nothing new.
  const witnesses = new Set(policy === 'fail' ? accusationsIn(reports).map(({ from }) => from) : []);
  const isEcho = ({ kind, about }: FailureReport): boolean =>
    kind !== 'own_failure' && about.every((rank) => witnesses.has(rank));
  const others = reports.filter(({ kind }) => !ENDS.includes(kind));
  // Of several that end at once, the others complain about the one that ended first.
  const numComplaints = (end: FailureReport): number =>
    others.filter(({ about }) => about.some((rank) => end.about.includes(rank))).length;
  return reports
    .filter((report) => ENDS.includes(report.kind) && !isEcho(report))
    .sort((a, b) => ENDS.indexOf(a.kind) - ENDS.indexOf(b.kind) || numComplaints(b) - numComplaints(a));
}

const accusationsIn = (reports: readonly FailureReport[]): readonly Accusation[] =>
  reports.filter((report) => report.kind === 'accusation');

/**
 * Whether nothing more can be expected: a process ended or gave up, and every other member waits because of that. A connection that closed may be
 * told better in a moment, where the process is known.
 */
function isWholeStory(reports: readonly FailureReport[], members: ReadonlySet<number>): boolean {
  const isKnown = (report: FailureReport): boolean =>
    report.kind === 'own_failure' || report.kind === 'exit' || (report.kind === 'disconnect' && !!report.isLastWord);
  const ends = reports.filter(isKnown);
  const ended = new Set(ends.flatMap(({ about }) => about));
  const accusations = accusationsIn(reports);
  const isHeard = (rank: number): boolean => ended.has(rank) || accusations.some(({ from }) => from === rank);
  return ended.size > 0 && [...members].every(isHeard) && unexplained(accusations, ended).length === 0;
}

/** Without those whose accuser is lost, and those about ranks that are lost or wait for a lost one themselves, over any number of others. */
function unexplained(accusations: readonly Accusation[], lost: Iterable<number>): readonly Accusation[] {
  const excused = new Set(lost);
  let open = accusations.filter(({ from }) => !excused.has(from));
  for (;;) {
    const left = open.filter(({ about }) => about.some((rank) => !excused.has(rank)));
    if (left.length === open.length) return left;
    for (const each of open) if (!left.includes(each)) excused.add(each.from);
    open = left;
  }
}

function mostBlamed(open: readonly Accusation[], accusations: readonly Accusation[]): number {
  const blamed = open.flatMap(({ about }) => about);
  const numAccusers = (rank: number): number => blamed.filter((each) => each === rank).length;
  const isSilent = (rank: number): boolean => accusations.every(({ from }) => from !== rank);
  const [worst] = [...new Set(blamed)].sort(
    (a, b) => Number(isSilent(b)) - Number(isSilent(a)) || numAccusers(b) - numAccusers(a) || b - a,
  );
  return worst!;
}
