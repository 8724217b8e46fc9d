/** Gives the losses of a job their clocks: how long reports are gathered, and how long ranks may take to enter an epoch. */
import { Deadline } from '../../comm/base/deadline.js';
import type { EngineError } from '../protocol/errors.js';
import { lateRanks, processExit, type FailureReport } from './failure_report.js';
import type { LossPolicy } from '../config/loss_policy.js';
import type { RankExit } from './rank_process.js';
import { Losses, type Decision } from './losses.js';
import type { Members, MembersChange } from './members.js';

/** Whom a watch begins with, and how long it waits. */
export interface LossWatchOptions {
  /** Those that a job begins with: 0 … n − 1, so many, or members that are to enter their epoch. */
  readonly first: number | Members;
  readonly policy: LossPolicy;
  /** Processes of ranks, whose ends are reported. Default none. */
  readonly exits?: readonly Promise<RankExit>[];
  /** How long a rank may take to leave a step and enter an epoch; a rank that takes longer is lost too. */
  readonly enterTimeoutMs: number;
  /** How long reports are gathered at most, so that one loss with many witnesses, or two at once, make one decision. Default 250. */
  readonly gatherMs?: number;
  /** Does what was decided, before {@link LossWatch.ended} resolves. Not needed where policy is 'fail': then every decision ends the job. */
  readonly onDecision?: (decision: Decision) => void;
}

const GATHER_MS = 250;

/** Hears of losses for a job while it runs, or while it starts. */
export class LossWatch {
  /** Resolves with the cause when a loss ends the job. */
  readonly ended: Promise<EngineError>;
  private readonly losses: Losses;
  private end!: (error: EngineError) => void;
  private gathering: NodeJS.Timeout | undefined;
  private entering: Deadline | undefined;
  private readonly waiting: (() => void)[] = [];
  private isClosed = false;

  constructor(private readonly options: LossWatchOptions) {
    this.ended = new Promise((resolve) => (this.end = resolve));
    this.losses = new Losses(options.policy, options.first);
    if (this.losses.entering.size > 0) this.awaitEntering();
    const ranks = [...this.members.present];
    for (const exit of options.exits ?? []) void exit.then((end) => this.report(processExit(end, ranks)));
  }

  get members(): Members {
    return this.losses.members;
  }

  /** Resolves when no loss is being looked into and every member is in the current epoch, or when the watch is closed. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.checkSettled();
    });
  }

  /** Takes what somebody heard; a decision may follow at once or a moment later. */
  report(report: FailureReport): void {
    if (this.isClosed) return;
    const decision = this.losses.hear(report);
    if (decision !== null) return this.act(decision);
    const { gatherMs = GATHER_MS } = this.options;
    if (this.losses.isGathering) this.gathering ??= setTimeout(() => this.act(this.losses.decide()), gatherMs);
  }

  /** Begins a planned epoch; false where losses come first, or nothing is decided any more. */
  plan(change: MembersChange): boolean {
    if (this.isClosed || !this.losses.plan(change)) return false;
    this.awaitEntering();
    return true;
  }

  /** A rank says that it entered an epoch. */
  entered(rank: number, epoch: number): void {
    this.losses.enter(rank, epoch);
    this.checkSettled();
  }

  /** Idempotent: nothing is heard or decided from now on. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.gathering);
    this.entering?.cancel();
    this.checkSettled();
  }

  private act(decision: Decision): void {
    clearTimeout(this.gathering);
    this.gathering = undefined;
    if (decision.end === null) this.awaitEntering();
    this.options.onDecision?.(decision);
    if (decision.end !== null) this.end(decision.end);
    this.checkSettled();
  }

  private awaitEntering(): void {
    this.entering?.cancel();
    const { enterTimeoutMs } = this.options;
    const what = `enter epoch ${this.members.epoch}`;
    const accuseLate = (): void => this.report(lateRanks(this.losses.entering, what, enterTimeoutMs));
    this.entering = new Deadline(enterTimeoutMs, accuseLate);
  }

  private checkSettled(): void {
    const { entering, isGathering } = this.losses;
    if (entering.size === 0) this.entering?.cancel();
    if (!this.isClosed && (isGathering || entering.size > 0)) return;
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}
