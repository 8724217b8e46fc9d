/** The heart of the head: settle → plan → run → observe → commit, step after step while there is work. */
import type { LivePlacement } from '../../experts/placement/live_placement.js';
import type { Placement } from '../../experts/placement/placement.js';
import type { Members } from '../job/members.js';
import type { EpochChange, StepOutcome, StepRunner } from '../job/step_runner.js';
import type { StepPlan, StepResult } from '../protocol/step_plan.js';
import type { ExpertMoves } from './rebalancing/expert_moves.js';
import type { RankSpeeds } from './speeds/rank_speeds.js';
import { errorFrom, type Requests } from './requests.js';
import { observedStep, type StepObserver } from './observing/step_observer.js';

/** Ranks were lost, and the others go on. */
export interface Loss extends Pick<EpochChange, 'epoch' | 'lost' | 'abandonedStep'> {
  /** Ranks that are left. */
  readonly numRanksLeft: number;
  /** Sequences whose cache was lost: they are computed anew elsewhere, and their callers notice only that it takes longer. */
  readonly numRecomputed: number;
  /** Requests that failed, because a second rank was lost while it computed them. */
  readonly numFailed: number;
}

/** Told of every loss that a job goes on after. */
export type OnLoss = (loss: Loss) => void;

/** What a loop brings together. */
export interface StepLoopParts {
  readonly job: StepRunner;
  readonly requests: Requests;
  /** What the ranks run with. The loop tells it of losses. */
  readonly placement: LivePlacement;
  /** Says which version a step runs with, and what moves beside it, and sees to it that every expert has a home. */
  readonly experts: Pick<ExpertMoves, 'next' | 'isMoving' | 'isUrgent' | 'settle'>;
  /** Says how fast ranks are. */
  readonly speeds: Pick<RankSpeeds, 'capacities'>;
  /** Chooses experts in the plans, instead of the gates, where anybody does. */
  readonly route: (plans: readonly StepPlan[]) => readonly StepPlan[];
  /** Told of steps and losses, in this order. */
  readonly observers: readonly StepObserver[];
  readonly onLoss?: OnLoss | undefined;
  /** Members of another head's job, with what they hold: some experts may have no home. Default: the job begins, and all have. */
  readonly resumed?: Members | null;
}

/** A step that the ranks were told of. */
interface RunningStep {
  readonly plans: readonly StepPlan[];
  /** What it runs with. */
  readonly placement: Placement;
  readonly startMs: number;
  readonly outcome: Promise<StepOutcome>;
}

/**
 * Runs steps on a job. While the ranks generate, the step after the one that runs is planned and sent, so that they go on with the tokens that
 * they sampled, without the head: what ends, comes or goes takes effect a step later. A step that is abandoned, because a rank was lost, counts for nobody, and is planned again. */
export class StepLoop {
  /** Null between two runs: there is no work, or there was none. */
  private running: Promise<void> | null = null;
  /** Members changed, or are to, since they last settled. */
  private hasNews = false;
  /** Of the last epoch; null in the first one of a job that begins. */
  private members: Members | null;

  constructor(private readonly parts: StepLoopParts) {
    const { job, resumed = null } = parts;
    this.members = resumed;
    job.watch(() => {
      this.hasNews = true;
      this.start();
    });
  }

  /** There is work, or members change: goes on until there is none, or until something fails, and all requests with it. */
  start(): void {
    this.running ??= this.run();
  }

  /** Resolves when no step runs. */
  async idle(): Promise<void> {
    await this.running;
  }

  private async run(): Promise<void> {
    const { requests } = this.parts;
    const begun: RunningStep[] = [];
    let lastEndMs = 0;
    try {
      // All requests of this turn of the event loop share the first step.
      await Promise.resolve();
      for (;;) {
        if (begun.length === 0) await this.settle();
        for (let step; this.canBegin(begun) && (step = this.begin()) !== null;) begun.push(step);
        const first = begun.shift();
        if (first === undefined && this.hasNews) continue;
        if (first === undefined) break;
        const outcome = await first.outcome;
        if (outcome.kind === 'abandoned') {
          begun.length = 0; // what stands behind it is abandoned too
          continue;
        }
        const endMs = performance.now();
        await this.commit(first, outcome.results, endMs - Math.max(first.startMs, lastEndMs));
        lastEndMs = endMs;
      }
    } catch (error) {
      requests.fail(errorFrom(error));
    } finally {
      this.running = null;
    }
  }

  /** Members enter every epoch that was declared, and those that are planned, and every expert gets a home, before the next step. */
  private async settle(): Promise<void> {
    const { job, placement } = this.parts;
    this.hasNews = false;
    do {
      do {
        for (const change of await job.settled()) this.enter(change);
        // A rank that joins holds nothing, and nobody needs what those held who are gone.
      } while (job.change({ version: placement.version, phy2log: placement.left.phy2log }));
    } while (!(await this.isWhole()));
  }

  /** False: ranks were lost meanwhile. */
  private async isWhole(): Promise<boolean> {
    return this.members === null || this.parts.experts.settle(this.members);
  }

  /**
   * A step may wait behind one that only generates. One that computes prompts takes long, so that who comes meanwhile should be in the next one; and
   * while experts or sequences move, each step follows from the results of the one before.
   */
  private canBegin([first, ...others]: readonly RunningStep[]): boolean {
    if (first === undefined) return true;
    if (this.parts.job.isChanging) return false;
    const isShort = first.plans.every(({ parts }) => parts.every(({ isPrompt }) => !isPrompt));
    const isMoving = this.parts.requests.isMoving || this.parts.experts.isMoving;
    return others.length === 0 && isShort && !isMoving;
  }

  private begin(): RunningStep | null {
    const { job, requests, placement } = this.parts;
    try {
      const plans = this.plan();
      if (plans === null) return null;
      return { plans, placement: placement.left, startMs: performance.now(), outcome: job.step(plans) };
    } finally {
      requests.told();
    }
  }

  private async commit(
    { plans, placement }: RunningStep,
    results: readonly (StepResult | null)[],
    stepMs: number,
  ): Promise<void> {
    const { requests, observers } = this.parts;
    const settled = requests.settle(plans, results);
    const numTokens = sum(plans.flatMap(({ parts }) => parts.map(({ tokenIds }) => tokenIds.length)));
    const step = observedStep({ ...settled, numTokens, stepMs, placement });
    for (const observer of observers) await observer.observe(step);
    await requests.commit(settled);
  }

  private plan(): readonly StepPlan[] | null {
    const { requests, experts, speeds, route } = this.parts;
    const { capacities } = speeds;
    const scheduled = requests.next({ isNeeded: experts.isUrgent });
    if (scheduled === null) return null;
    const placed = experts.next(scheduled[0]!);
    const idle = scheduled.flatMap(({ parts }, rank) => (parts.length === 0 ? [rank] : []));
    const known = { ...placed, ...(idle.length > 0 && { idle }), ...(capacities !== undefined && { capacities }) };
    return route(scheduled.map((plan) => ({ ...plan, ...known })));
  }

  private enter(change: EpochChange): void {
    const { requests, placement, observers, onLoss } = this.parts;
    const { epoch, members, lost, abandonedStep } = change;
    this.members = members;
    placement.enter(absentOf(placement.whole, members));
    for (const observer of observers) observer.enter?.(change);
    const { numRecomputed, numFailed } = requests.enter(change);
    if (lost.length === 0) return;
    const numRanksLeft = members.present.size;
    onLoss?.({ epoch, lost, abandonedStep, numRanksLeft, numRecomputed, numFailed });
  }
}

const absentOf = ({ numRanks }: Placement, { present }: Members): number[] =>
  [...Array(numRanks).keys()].filter((rank) => !present.has(rank));

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);
