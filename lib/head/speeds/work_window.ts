/** Adds up what ranks did in some steps, each kind of work of the steps in which there was some. Pure. */
import type { CostSample } from './cost_curve.js';
import type { RankWork } from './rank_work.js';

/** Steps of a window, at least: a stall of one of them is one of many. */
export const WINDOW_STEPS = 16;
/** What the busiest ranks compute in a window, at least: on a machine that others use, too, all get their share of its cores in that time. */
export const WINDOW_MS = 250;
/** Less than that of one kind of work says nothing. */
const MIN_WORK_MS = 10;

/** The kinds of work. */
export const WORK_KINDS = ['experts', 'own'] as const;
/** One of {@link WORK_KINDS}. */
export type WorkKind = (typeof WORK_KINDS)[number];

/** Sums of one rank. */
type Sums = Record<WorkKind, { work: number; ms: number; numSteps: number }>;

/** One after the other. */
export class WorkWindow {
  private sums: (Sums | null)[] = [];
  private numSteps = 0;
  private busyMs = 0;

  /** What each seat did in a step; null: it isn't taken. True: the window is full. */
  add(work: readonly (RankWork | null)[]): boolean {
    this.busyMs += Math.max(...work.map((each) => (each === null ? 0 : each.experts.ms + each.own.ms)));
    for (const [rank, each] of work.entries()) {
      if (each === null) continue;
      const sums = (this.sums[rank] ??= { experts: nothing(), own: nothing() });
      for (const kind of WORK_KINDS) {
        if (each[kind].work <= 0 || each[kind].ms <= 0) continue;
        sums[kind].work += each[kind].work;
        sums[kind].ms += each[kind].ms;
        sums[kind].numSteps++;
      }
    }
    this.numSteps++;
    return this.numSteps >= WINDOW_STEPS && this.busyMs >= WINDOW_MS;
  }

  /** By seat, per step in which there was such work; null: there was too little. Begins anew. */
  take(numSeats: number): Record<WorkKind, (CostSample | null)[]> {
    const { sums } = this;
    this.clear();
    const of = (kind: WorkKind): (CostSample | null)[] =>
      Array.from({ length: numSeats }, (_, rank) => {
        const { work, ms, numSteps } = sums[rank]?.[kind] ?? nothing();
        return ms < MIN_WORK_MS ? null : { work: work / numSteps, ms: ms / numSteps };
      });
    return { experts: of('experts'), own: of('own') };
  }

  /** Forgets what was added. */
  clear(): void {
    this.sums = [];
    this.numSteps = 0;
    this.busyMs = 0;
  }
}

const nothing = (): { work: number; ms: number; numSteps: number } => ({ work: 0, ms: 0, numSteps: 0 });
