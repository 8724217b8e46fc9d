/**
 * Ranks that come while a job runs: candidates from the door are members when they are wanted, or spares until then. Some are started here: those that
 * somebody recruits, and, where spares are kept, one for each process of this machine that was lost.
 * Why: docs/decisions/elastic.md#spares
 */
import { Deadline } from '../../comm/base/deadline.js';
import type { Candidate, Door, DoorOptions } from '../../comm/job/door.js';
import type { ControlMessageOf } from '../../comm/job/messages.js';
import { asRank } from '../../base/ids.js';
import { causeText } from '../../base/foreign_text.js';
import { remoteErrorOf } from '../../comm/base/errors.js';
import { EngineError } from '../protocol/errors.js';
import type { LoadReport } from '../protocol/step_plan.js';
import type { LocalNewcomer, LocalRanks } from './local_ranks.js';
import { firstReport } from './rank_start.js';
import { Recruits, type Recruit } from './recruits.js';
import { Reserve } from './reserve.js';

/** How others come to a job that runs. */
export interface NewcomersParts {
  /** Lets them in from now on. */
  readonly open: (options: Pick<DoorOptions, 'onCandidate' | 'onFailed'>) => Pick<Door, 'hear' | 'vacate'>;
  /** Whether it fits the others. Rejects with why it doesn't. */
  readonly check: (rank: number, report: LoadReport) => Promise<void>;
  /** Candidates that are kept for losses. */
  readonly numSpares: number;
  /** Longest time until one that is started here comes, and until a linked one says what it loaded. */
  readonly timeoutMs: number;
  /** A spare that gives no sign of life for so long is lost. */
  readonly silenceMs: number;
  /** What the user should know: a line without its end. Default: nobody listens. */
  readonly onNotice?: ((line: string) => void) | undefined;
  /** The job is over: what is still being found out is for nobody. */
  readonly close?: () => void;
}

/** The job that they come to. */
export interface NewcomersHost {
  readonly numSeats: number;
  readonly local: Pick<LocalRanks, 'start'>;
  numMembers(): number;
  /** How many wait for the epoch in which they are members. */
  numJoining(): number;
  /** A rank has its seat. `newcomer`: where it was started here. */
  sit(candidate: Candidate, report: LoadReport, newcomer: LocalNewcomer | null): void;
  /** A rank on a seat is to be a member. */
  takeIn(rank: number): void;
}

/** One that was started here and isn't a candidate yet. */
interface Coming {
  /** Why it won't come, once that is known. */
  why: string | null;
  /** Until it has come to the door. */
  readonly deadline: Deadline;
}

/** Starts that fail one after the other, before no more spares are started. */
const MAX_FAILURES = 3;

/** Who comes, who waits, who is recruited. */
export class Newcomers {
  private readonly door: Pick<Door, 'hear' | 'vacate'>;
  private readonly reserve: Reserve;
  private readonly coming = new Map<LocalNewcomer, Coming>();
  /** By seat of those who wait: how to end the watch over their links. */
  private readonly watches = new Map<number, () => Promise<boolean>>();
  /** Seats of those who are to join as soon as they give a sign of life. */
  private readonly called = new Set<number>();
  private readonly recruits = new Recruits();
  /** Spares that this machine owes. */
  private numOwed: number;
  private numFailures = 0;
  private isClosed = false;

  constructor(
    private readonly parts: NewcomersParts,
    private readonly host: NewcomersHost,
  ) {
    this.reserve = new Reserve(host.numMembers(), parts.numSpares);
    this.numOwed = parts.numSpares;
    this.door = parts.open({
      onCandidate: (candidate) => void this.welcome(candidate),
      onFailed: (rank, error) => this.failed(rank, error.text),
    });
    this.keepSpares();
  }

  /** Seats of ranks that are ready to be members, and kept. */
  get spares(): readonly number[] {
    return this.reserve.spares;
  }

  /** What a rank says of its link to another. */
  hear(rank: number, message: ControlMessageOf<'linked' | 'unlinked'>): void {
    this.door.hear(asRank(rank), message);
  }

  /** Nobody sits there any more. `wasLost`: a process of this machine, not as planned. */
  vacate(rank: number, reason: string, wasLost: boolean): void {
    this.reserve.remove(rank);
    this.watches.delete(rank);
    this.called.delete(rank);
    this.door.vacate(asRank(rank), reason);
    if (wasLost && this.parts.numSpares > 0) this.numOwed++;
    // One that is still coming doesn't sit anywhere, although it may have been told of this seat.
    const recruit = this.recruits.find((newcomer) => newcomer.rank === rank && !this.coming.has(newcomer));
    if (recruit !== undefined)
      this.giveUp(recruit, new EngineError('RANK_FAILED', `a rank that was to join won't: ${reason}`));
  }

  /** Members have changed: spares take the seats of those that are missing. `joined` are those that were recruited, as far as somebody was. */
  enter(joined: readonly number[]): void {
    for (const rank of joined) this.recruits.resolve(rank);
    this.fill();
  }

  /** The job is to have one member fewer. */
  want(difference: number): void {
    this.reserve.want(difference);
  }

  /**
   * One member more: a spare, else a rank that is started here. Resolves with its seat when its epoch has begun.
   * @throws EngineError RANK_FAILED: why it won't come; INVALID_REQUEST: no seat is free; the reason of `signal`
   */
  async recruit(signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    const wasSpare = this.spares.length + this.comingSpares.length > 0;
    const newcomer = this.spares.length > 0 ? null : (this.comingSpares[0] ?? this.startAnother());
    const numComing = Math.max(this.called.size + this.host.numJoining(), this.recruits.size);
    const numRaised = this.reserve.raise(this.host.numMembers() + numComing + 1);
    const recruit = this.recruits.add(newcomer, numRaised, signal);
    const giveUp = (): void => this.sendAway(recruit);
    signal?.addEventListener('abort', giveUp, { once: true });
    if (wasSpare) this.numOwed++;
    this.fill();
    return recruit.joined.finally(() => signal?.removeEventListener('abort', giveUp));
  }

  /** Nobody wants it any more. */
  private sendAway(recruit: Recruit): void {
    const { newcomer, signal } = recruit;
    const isAboutToJoin =
      newcomer === null ? this.recruits.ofSpares.length <= this.host.numJoining() : !this.coming.has(newcomer);
    if (isAboutToJoin) return;
    if (newcomer === null) return this.giveUp(recruit, signal?.reason);
    this.dismiss(newcomer, signal?.reason);
    newcomer.kill();
  }

  private startAnother(): LocalNewcomer {
    if (this.numMembers + this.coming.size < this.host.numSeats) return this.start();
    throw new EngineError('INVALID_REQUEST', `all ${this.host.numSeats} seats are taken; raise parallel.max_ranks`);
  }

  /** Nobody comes any more. */
  close(error: EngineError): void {
    this.isClosed = true;
    this.parts.close?.();
    for (const { deadline } of this.coming.values()) deadline.cancel();
    this.recruits.fail(error);
  }

  private async welcome(candidate: Candidate): Promise<void> {
    const { rank, link } = candidate;
    const newcomer = this.comingTo(rank);
    try {
      const onLinks = (message: ControlMessageOf<'linked' | 'unlinked'>): void => this.door.hear(rank, message);
      const report = await firstReport(link, rank, { timeoutMs: this.parts.timeoutMs, onLinks });
      await this.parts.check(rank, report);
      if (this.isClosed || !link.isOpen) throw new EngineError('RANK_LOST', `rank ${rank} left`, { rank });
      if (newcomer !== null) this.forget(newcomer);
      this.numFailures = 0;
      this.host.sit(candidate, report, newcomer);
      this.watches.set(rank, link.watch(this.parts.silenceMs));
      this.reserve.add(rank);
      this.fill();
    } catch (error) {
      if (link.isOpen) link.send({ type: 'failed', error: remoteErrorOf(error) });
      void link.close();
      this.door.vacate(rank, `rank ${rank} was turned away`);
      this.failed(rank, causeText(error));
    }
  }

  private fill(): void {
    for (const rank of this.reserve.take(this.numMembers)) void this.call(rank);
    this.keepSpares();
    this.replaceSpares();
  }

  /** Spares that were recruited and are lost before they joined. */
  private replaceSpares(): void {
    const numThere = this.called.size + this.host.numJoining() + this.spares.length + this.comingSpares.length;
    for (const recruit of this.recruits.ofSpares.slice(numThere)) {
      try {
        recruit.signal?.throwIfAborted();
        recruit.newcomer = this.startAnother();
      } catch (error) {
        this.giveUp(recruit, error);
      }
    }
  }

  /** Who waited may have been stopped meanwhile, and all others would wait for it. */
  private async call(rank: number): Promise<void> {
    this.called.add(rank);
    const isAlive = await this.watches.get(rank)!();
    if (isAlive && this.called.delete(rank)) this.host.takeIn(rank);
  }

  /** Those too who are about to be. */
  private get numMembers(): number {
    return this.host.numMembers() + this.host.numJoining() + this.called.size;
  }

  private keepSpares(): void {
    const { numSpares } = this.parts;
    const isLacking = (): boolean => this.spares.length + this.comingSpares.length < numSpares;
    const hasRoom = (): boolean => this.numMembers + this.spares.length + this.coming.size < this.host.numSeats;
    while (!this.isClosed && this.numOwed > 0 && this.numFailures < MAX_FAILURES && isLacking() && hasRoom()) {
      this.numOwed--;
      this.start();
    }
  }

  /** Those of {@link coming} whom nobody recruited. */
  private get comingSpares(): readonly LocalNewcomer[] {
    return [...this.coming.keys()].filter((each) => this.recruitOf(each) === undefined);
  }

  private start(): LocalNewcomer {
    const newcomer = this.host.local.start();
    const { timeoutMs } = this.parts;
    const deadline = new Deadline(timeoutMs, () => {
      if (newcomer.rank !== null) return; // its time is the door's business
      coming.why = `it did not come to the head within ${timeoutMs} ms; look at its log, or at what else this machine does`;
      newcomer.kill();
    });
    const coming: Coming = { why: null, deadline };
    this.coming.set(newcomer, coming);
    void newcomer.exit.then(({ code, signal }) => {
      if (!this.coming.has(newcomer)) return;
      const how = signal === null ? `ended with exit code ${code ?? '?'}` : `was killed by ${signal}`;
      const why = coming.why ?? `its process ${how}; look at its last lines above`;
      const isForSomebody = this.recruitOf(newcomer) !== undefined;
      this.dismiss(newcomer, new EngineError('RANK_FAILED', `a rank that was to join won't: ${why}`));
      if (isForSomebody || this.isClosed) return;
      this.numOwed++;
      this.numFailures++;
      this.parts.onNotice?.(
        `a spare rank could not join (${why})${this.numFailures < MAX_FAILURES ? '' : '; no more are started'}`,
      );
      this.keepSpares();
    });
    return newcomer;
  }

  /** It won't come. Why is told to whoever recruited it. */
  private dismiss(newcomer: LocalNewcomer, why: unknown): void {
    this.forget(newcomer);
    const recruit = this.recruitOf(newcomer);
    if (recruit !== undefined) this.giveUp(recruit, why);
  }

  private giveUp(recruit: Recruit, why: unknown): void {
    if (this.recruits.reject(recruit, why)) this.reserve.want(-recruit.numRaised);
  }

  /** A newcomer was turned away, or gave up. */
  private failed(rank: number, why: string): void {
    const newcomer = this.comingTo(rank);
    if (newcomer !== null) {
      this.coming.get(newcomer)!.why = why;
      void newcomer.ended();
    } else if (!this.isClosed) this.parts.onNotice?.(why);
  }

  /** Without those that were turned away, whose processes may take a moment to end while somebody else has their seats. */
  private comingTo(rank: number): LocalNewcomer | null {
    const found = [...this.coming].find(([each, { why }]) => each.rank === rank && why === null);
    return found?.[0] ?? null;
  }

  private forget(newcomer: LocalNewcomer): void {
    this.coming.get(newcomer)?.deadline.cancel();
    this.coming.delete(newcomer);
  }

  private recruitOf(newcomer: LocalNewcomer): Recruit | undefined {
    return this.recruits.find((each) => each === newcomer);
  }
}
