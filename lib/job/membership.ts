/**
 * Which ranks a job still has, where losses are masked: the head alone declares epochs. A loss ends the epoch; every rank that is left leaves
 * the running step behind, enters the next epoch and says so; then steps go on.
 * Why: docs/decisions/losses.md#losses-that-are-masked
 */
import { Deadline } from '../../comm/base/deadline.js';
import { EngineError } from '../protocol/errors.js';
import type { FailureReport } from './first_cause.js';
import { isWholeStory, lostRanks } from './lost_ranks.js';
import type { HeadToRank } from '../protocol/step_plan.js';

export interface MembershipOptions {
  readonly numRanks: number;
  /** How long a rank may take to leave a step and enter an epoch; a rank that takes longer is lost too. */
  readonly enterTimeoutMs: number;
  /** How long reports are gathered at most, so that one loss with many witnesses, or two at once, make one epoch. Default 250. */
  readonly gatherMs?: number;
  readonly tell: (rank: number, message: HeadToRank) => void;
  /** Ends what may be left of a lost rank, so that it can't come back. */
  readonly cutOff: (rank: number, why: EngineError) => void;
  /** A new epoch was declared: nothing of the running step counts. */
  readonly onEpoch: () => void;
  /** The last rank is lost. Called once; the membership is closed then. */
  readonly onNobodyLeft: (error: EngineError) => void;
}

export interface LostRank {
  readonly rank: number;
  readonly error: EngineError;
}

const GATHER_MS = 250;

export class Membership {
  private readonly options: MembershipOptions;
  private readonly members: Set<number>;
  private readonly lost: LostRank[] = [];
  private currentEpoch = 0;
  private reports: FailureReport[] = [];
  private gathering: NodeJS.Timeout | null = null;
  /** Members that have not entered the current epoch yet. */
  private entering = new Set<number>();
  private enterDeadline: Deadline | null = null;
  private readonly waiting: (() => void)[] = [];
  private isClosed = false;

  constructor(options: MembershipOptions) {
    this.options = options;
    this.members = new Set(Array.from({ length: options.numRanks }, (_, rank) => rank));
  }

  get epoch(): number {
    return this.currentEpoch;
  }

  has(rank: number): boolean {
    return this.members.has(rank);
  }

  /** All that were lost so far, in that order. */
  get lostRanks(): readonly LostRank[] {
    return this.lost;
  }

  /** Resolves when no loss is being looked into and every member is in the current epoch, or when the membership is closed. */
  settled(): Promise<void> {
    if (this.isSettled) return Promise.resolve();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** What speaks for a loss. What comes from ranks that are lost already, or is about them alone, tells nothing new. */
  report(report: FailureReport): void {
    const { from, about } = report;
    const isNews = (from === null || this.has(from)) && (about === undefined || about.some((rank) => this.has(rank)));
    if (this.isClosed || !isNews) return;
    this.reports.push({ ...report, ...(about && { about: about.filter((rank) => this.has(rank)) }) });
    this.gathering ??= setTimeout(() => this.decide(), this.options.gatherMs ?? GATHER_MS);
    if (isWholeStory(this.reports, this.members)) this.decide();
  }

  /** A rank says that it entered an epoch. */
  entered(rank: number, epoch: number): void {
    if (epoch !== this.currentEpoch) return;
    this.entering.delete(rank);
    this.checkSettled();
  }

  /** Idempotent: nothing is reported or declared from now on. */
  close(): void {
    this.isClosed = true;
    if (this.gathering !== null) clearTimeout(this.gathering);
    this.enterDeadline?.cancel();
    this.checkSettled();
  }

  private get isSettled(): boolean {
    return this.isClosed || (this.gathering === null && this.entering.size === 0);
  }

  private checkSettled(): void {
    if (this.entering.size === 0) this.enterDeadline?.cancel();
    if (!this.isSettled) return;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  private decide(): void {
    const lost = lostRanks(this.reports);
    if (this.gathering !== null) clearTimeout(this.gathering);
    this.gathering = null;
    this.reports = [];
    this.declare([...lost].map(([rank, { error }]) => ({ rank, error })));
  }

  private declare(lost: readonly LostRank[]): void {
    const { tell, cutOff, onEpoch, onNobodyLeft, enterTimeoutMs } = this.options;
    this.currentEpoch++;
    this.lost.push(...lost);
    for (const { rank, error } of lost) {
      this.members.delete(rank);
      cutOff(rank, error);
    }
    if (this.members.size === 0) {
      this.close();
      onNobodyLeft(nobodyLeft(lost));
      return;
    }
    onEpoch();
    const message = { kind: 'epoch', epoch: this.currentEpoch, lost: this.lost.map(({ rank }) => rank) } as const;
    this.entering = new Set(this.members);
    this.enterDeadline?.cancel();
    this.enterDeadline = new Deadline(enterTimeoutMs, () => this.accuseLate());
    for (const rank of this.members) tell(rank, message);
  }

  private accuseLate(): void {
    const late = [...this.entering];
    const text =
      `rank ${late.join(', ')} did not enter epoch ${this.currentEpoch} within ${this.options.enterTimeoutMs} ms; ` +
      'look at its log, or raise comm.timeout_ms';
    const error = new EngineError('TIMEOUT', text, { rank: late[0]! });
    this.report({ kind: 'deadline', from: null, about: late, error });
  }
}

/** What an error says happened, without its code and what to do. */
export const reasonOf = ({ code, message }: EngineError): string => message.replace(`${code}: `, '').split('; ', 1)[0]!;

function nobodyLeft(last: readonly LostRank[]): EngineError {
  const reasons = last.map(({ error }) => reasonOf(error)).join(', and ');
  const text = `no rank is left to go on with: ${reasons}; look at the last lines above and start the job again`;
  return new EngineError('RANK_LOST', text, { rank: last[0]!.rank });
}
