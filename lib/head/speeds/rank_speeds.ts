/**
 * How fast each rank of a job is: measured in windows of steps, by the time for its work apart from waiting, beside the median rank's. Says what ranks are
 * to be taken for, and who fell behind. Why: docs/decisions/elastic.md#ranks-are-measured-by-their-work
 */
import type { ModelSpec } from '../../model/spec/spec.js';
import type { EpochChange } from '../../job/step_runner.js';
import type { ObservedStep, StepObserver } from '../observing/step_observer.js';
import { actedPace } from './acted_pace.js';
import type { CostSample } from './cost_curve.js';
import { Paces } from './paces.js';
import { sharedRowsOf, workOf } from './rank_work.js';
import { Slowness } from './slowness.js';
import type { OnSpeed, RankSpeed } from './speed_events.js';
import { LateLinks } from './late_links.js';
import { lateRows, WaitWindow } from './wait_window.js';
import { WORK_KINDS, WorkWindow, type WorkKind } from './work_window.js';

/** Whose ranks are measured. */
export interface RankSpeedsOptions {
  readonly numSeats: number;
  readonly spec: ModelSpec;
  /** A rank that takes so many times the median rank's time for the same work is slow. */
  readonly slowFactor: number;
  /** Nobody is slow, and all are taken for alike, whatever is measured. */
  readonly isIgnored: boolean;
  readonly onSpeed: OnSpeed;
}

/** One of a job. */
export class RankSpeeds implements StepObserver {
  private readonly paces: Readonly<Record<WorkKind, Paces>>;
  /** By seat: the paces that are acted upon. */
  private readonly acted: Readonly<Record<WorkKind, number[]>>;
  private readonly work = new WorkWindow();
  private readonly waits = new WaitWindow();
  private readonly sharedRows: number;
  /** Of the last full window. */
  private samples: Readonly<Record<WorkKind, readonly (CostSample | null)[]>> = { experts: [], own: [] };
  private waitShares: readonly (readonly number[])[] = [];
  private readonly slowness: Slowness[];
  private readonly lateLinks = new LateLinks();
  private relative: readonly number[] | undefined = undefined;

  constructor(private readonly options: RankSpeedsOptions) {
    const { numSeats, spec } = options;
    const alike = (): number[] => new Array<number>(numSeats).fill(1);
    this.paces = { experts: new Paces(numSeats), own: new Paces(numSeats) };
    this.acted = { experts: alike(), own: alike() };
    this.slowness = Array.from({ length: numSeats }, () => new Slowness());
    this.sharedRows = sharedRowsOf(spec);
  }

  /** By seat, what each rank computes in the same time, for planners and replica choices; undefined: all alike. The same object until it changes. */
  get capacities(): readonly number[] | undefined {
    return this.relative;
  }

  /** Ranks that fell behind, ascending. */
  get slow(): readonly number[] {
    return [...this.slowness.keys()].filter((rank) => this.slowness[rank]!.isSlow);
  }

  /** How many times longer than the median rank one is taken to need for its own tokens. */
  ownPaceOf(rank: number): number {
    return this.acted.own[rank]!;
  }

  /** Counts a step. */
  observe(step: ObservedStep): void {
    this.waits.add(
      step.results.map((result) => result?.stats.waitMs ?? null),
      step.stepMs,
    );
    if (this.work.add(workOf(step, this.sharedRows))) this.judge();
  }

  /** Seats that somebody else takes, or nobody, begin anew. */
  enter({ lost, left, joined }: EpochChange): void {
    for (const rank of [...lost.map((each) => each.rank), ...left, ...joined]) this.forget(rank);
    this.work.clear();
    this.setCapacities();
  }

  /** By seat. */
  stats(numRanks: number): RankSpeed[] {
    return Array.from({ length: numRanks }, (_, rank) => this.speedOf(rank));
  }

  /** A window is full. */
  private judge(): void {
    const { numSeats } = this.options;
    this.samples = this.work.take(numSeats);
    this.waitShares = this.waits.take();
    for (const kind of WORK_KINDS) this.paces[kind].add(this.samples[kind]);
    if (!this.options.isIgnored) {
      this.act();
      for (let rank = 0; rank < numSeats; rank++) this.name(rank);
    }
    const late = this.lateLinks.judge(lateRows(this.waitShares, this.waits.ranks));
    if (late !== null) this.options.onSpeed({ ...late, kind: 'late_link' });
  }

  /** What ranks are taken for follows what was measured. */
  private act(): void {
    for (const kind of WORK_KINDS) {
      const acted = this.acted[kind];
      for (const rank of acted.keys()) acted[rank] = actedPace(acted[rank]!, this.paces[kind].of(rank));
    }
    this.setCapacities();
  }

  private setCapacities(): void {
    const next = this.acted.experts.map((pace) => 1 / pace);
    const areAlike = next.every((capacity) => capacity === next[0]);
    if (areAlike) this.relative = undefined;
    else if (this.relative?.join() !== next.join()) this.relative = next;
  }

  /** Who fell behind is named once, and once more when it has caught up. */
  private name(rank: number): void {
    const { slowFactor, onSpeed } = this.options;
    const pace = this.paceOf(rank);
    const slowness = this.slowness[rank]!;
    if (pace === null || !slowness.judge(pace, slowFactor)) return;
    onSpeed({ kind: slowness.isSlow ? 'slow' : 'caught_up', rank, speed: this.speedOf(rank) });
  }

  private speedOf(rank: number): RankSpeed {
    const row = this.waitShares[rank] ?? [];
    const numOthers = this.waits.ranks.length - 1;
    return {
      pace: this.paceOf(rank),
      experts: this.paces.experts.of(rank),
      own: this.paces.own.of(rank),
      capacity: 1 / this.acted.experts[rank]!,
      isSlow: this.slowness[rank]!.isSlow,
      waitShare: numOthers < 1 ? 0 : row.reduce((sum, share) => sum + share, 0) / numOthers,
    };
  }

  /** Of both kinds of work, as much of each as it had in the last window; null while nobody knows what it takes for tokens of its own. */
  private paceOf(rank: number): number | null {
    if (this.paces.own.of(rank) === null) return null;
    let [takenMs, usualMs] = [0, 0];
    for (const kind of WORK_KINDS) {
      const pace = this.paces[kind].of(rank);
      const sample = this.samples[kind][rank] ?? null;
      if (pace === null || sample === null) continue;
      const ms = this.paces[kind].msOf(sample.work);
      takenMs += pace * ms;
      usualMs += ms;
    }
    return usualMs === 0 ? null : takenMs / usualMs;
  }

  private forget(rank: number): void {
    for (const kind of WORK_KINDS) {
      this.paces[kind].forget(rank);
      this.acted[kind][rank] = 1;
    }
    this.slowness[rank] = new Slowness();
  }
}
