/** Who is lost, from what the head heard within a moment: pure. */
import type { FailureReport } from './first_cause.js';

/** What an end looks like, from nearest to the cause to farthest from it. */
const ENDS = ['own_failure', 'exit', 'disconnect'] as const;

/**
 * The ranks that the job can't go on with, each with the report that says why. A rank that ended explains whoever accuses it. Where nobody
 * ended, one rank after another is given up until every accusation is explained: first those that are silent themselves, then those whom most
 * accuse, then the higher number (two ranks whose link was cut accuse each other).
 */
export function lostRanks(reports: readonly FailureReport[]): ReadonlyMap<number, FailureReport> {
  const lost = new Map<number, FailureReport>();
  for (const end of ENDS) {
    for (const report of reports) {
      if (report.kind === end && report.from !== null && !lost.has(report.from)) lost.set(report.from, report);
    }
  }
  const accusations = reports.filter(({ kind }) => kind === 'accusation');
  for (let open = unexplained(accusations, lost); open.length > 0; open = unexplained(accusations, lost)) {
    const worst = mostBlamed(open, accusations);
    lost.set(
      worst,
      open.find(({ about = [] }) => about.includes(worst))!,
    );
  }
  if (lost.size > 0) return lost;
  for (const report of reports) for (const late of report.about ?? []) lost.set(late, report);
  return lost;
}

/**
 * Whether nothing more can be expected: a process ended or gave up, and every other member waits because of that. (A connection alone that closed
 * may be told better in a moment.)
 */
export function isWholeStory(reports: readonly FailureReport[], members: Iterable<number>): boolean {
  const ends = reports.filter(({ kind }) => kind === 'own_failure' || kind === 'exit');
  const ended = new Map(ends.flatMap((report) => (report.from === null ? [] : [[report.from, report] as const])));
  const accusations = reports.filter(({ kind }) => kind === 'accusation');
  const isHeard = (rank: number): boolean => ended.has(rank) || accusations.some(({ from }) => from === rank);
  return ended.size > 0 && [...members].every(isHeard) && unexplained(accusations, ended).length === 0;
}

/** Without those whose accuser is lost, and those about ranks that are lost or wait for a lost one themselves, over any number of others. */
function unexplained(
  accusations: readonly FailureReport[],
  lost: ReadonlyMap<number, FailureReport>,
): readonly FailureReport[] {
  const excused = new Set<number | null>(lost.keys());
  let open = accusations.filter(({ from }) => !excused.has(from));
  for (;;) {
    const left = open.filter(({ about = [] }) => about.some((rank) => !excused.has(rank)));
    if (left.length === open.length) return left;
    for (const accusation of open) if (!left.includes(accusation)) excused.add(accusation.from);
    open = left;
  }
}

function mostBlamed(open: readonly FailureReport[], accusations: readonly FailureReport[]): number {
  const accusers = new Map<number, number>();
  for (const { about = [] } of open) for (const rank of about) accusers.set(rank, (accusers.get(rank) ?? 0) + 1);
  const isSilent = (rank: number): boolean => accusations.every(({ from }) => from !== rank);
  const [first] = [...accusers.keys()].sort(
    (a, b) => Number(isSilent(b)) - Number(isSilent(a)) || accusers.get(b)! - accusers.get(a)! || b - a,
  );
  return first!;
}
