/**
 * One loss makes many noises: a process ends, its connections close, its peers complain. The first cause is what a person wants to read last.
 * Reports are gathered for a moment, and the one nearest the cause wins.
 * Why: docs/decisions/losses.md#the-first-cause
 */
import { EngineError } from '../protocol/errors.js';

/** From nearest to the cause to farthest from it. */
const KINDS = ['own_failure', 'exit', 'disconnect', 'accusation', 'deadline'] as const;

export interface FailureReport {
  /**
   * own_failure: a rank's error about itself; exit: its process ended; disconnect: its connection closed;
   * accusation: a rank's error about another one; deadline: the head's patience ended.
   */
  readonly kind: (typeof KINDS)[number];
  /** The rank whose process, connection or message it is; null where that isn't known. */
  readonly from: number | null;
  /** The ranks that an accusation or the head's patience blames. */
  readonly about?: readonly number[];
  readonly error: EngineError;
}

const GATHER_MS = 250;

export class FirstCause {
  /** Settles once, some moments after the first report. */
  readonly found: Promise<EngineError>;
  private readonly reports: FailureReport[] = [];
  private settle!: (error: EngineError) => void;
  private timer: NodeJS.Timeout | null = null;
  private isClosed = false;

  constructor() {
    this.found = new Promise((resolve) => (this.settle = resolve));
  }

  report(report: FailureReport): void {
    if (this.isClosed) return;
    this.reports.push(report);
    this.timer ??= setTimeout(() => this.settle(this.best(this.reports)), GATHER_MS);
  }

  /**
   * The same where one rank is known to have gone first: what is told of others is an echo of that.
   * @param error how it went, where nothing nearer the cause is told of it
   */
  async of(rank: number, error: EngineError): Promise<EngineError> {
    this.report({ kind: 'disconnect', from: rank, error });
    await this.found;
    return this.best(this.reports.filter(({ from }) => from === rank));
  }

  /** Stops listening: what comes from now on is the job's own end. */
  close(): void {
    this.isClosed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.reports.length > 0) this.settle(this.best(this.reports));
  }

  private best(reports: readonly FailureReport[]): EngineError {
    // A rank that accuses another one ends itself: its end tells nothing new.
    const accusers = new Set(this.reports.flatMap(({ kind, from }) => (kind === 'accusation' ? [from] : [])));
    const isEcho = ({ kind, from }: FailureReport): boolean =>
      (kind === 'exit' || kind === 'disconnect') && from !== null && accusers.has(from);
    const distance = (report: FailureReport): number => (isEcho(report) ? KINDS.length : KINDS.indexOf(report.kind));
    // Of several that end at once, the others complain about the one that ended first.
    const numAccusers = ({ from }: FailureReport): number =>
      this.reports.filter(({ about }) => from !== null && about?.includes(from)).length;
    const isNearer = (a: FailureReport, b: FailureReport): boolean =>
      distance(a) < distance(b) || (distance(a) === distance(b) && numAccusers(a) > numAccusers(b));
    return reports.reduce((best, each) => (isNearer(each, best) ? each : best)).error;
  }
}
