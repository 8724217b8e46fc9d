/** One offer from its beginning to its end. Why: docs/decisions/handover.md#a-lease-ends-by-itself */
import { randomBytes } from 'node:crypto';
import type { Address } from '../../../comm/ws/door/dial.js';
import { EngineError } from '../../protocol/errors.js';
import type { HandoverOrder, KvLease } from '../../protocol/handover.js';
import type { Standing } from '../scheduling/scheduler.js';
import type { Offer, OfferEnd, OfferState } from './offer.js';

/** Whom an offer is about, and who acts for it. */
export interface OfferHost {
  /** Null: the sequence is over, and holds nothing. */
  standing(): Standing | null;
  /** What a step brought is being told: who pauses has to wait. */
  readonly isTelling: boolean;
  kvDoorOf(rank: number): Address | null;
  handover(rank: number, order: HandoverOrder): void;
  /** It pauses. */
  pause(): void;
  /** Calls `then` later, unless it is told otherwise by what this returns. */
  after(ms: number, then: () => void): () => void;
  /** The offer has ended: its sequence is taken back, or is gone. */
  ended(end: OfferEnd): void;
}

/** Tokens of KV blocks, how long it lasts without a sign of life, and whether that counts from its pause on alone. */
export interface OfferLimits {
  readonly blockSize: number;
  readonly timeoutMs: number;
  readonly isPatient: boolean;
  /** When it pauses was said before. */
  readonly pausesItself: boolean;
}

/** What a rank was told of a lease. */
interface Told {
  readonly rank: number;
  readonly isPaused: boolean;
}

/** Follows its sequence wherever that goes: {@link sync}. */
export class OpenOffer implements Offer {
  readonly lease: KvLease = { id: randomBytes(16).toString('hex'), token: randomBytes(32).toString('hex') };
  private told: Told | null = null;
  private ending: OfferEnd | null = null;
  private over = false;
  private seen = '';
  private numWaiting = 0;
  private wakes: (() => void)[] = [];
  private stopTimer: () => void = () => undefined;

  constructor(
    private readonly host: OfferHost,
    private readonly limits: OfferLimits,
  ) {
    if (!limits.isPatient) this.touch();
  }

  get end(): OfferEnd | null {
    return this.ending;
  }

  /** Its request is over. */
  get isOver(): boolean {
    return this.over;
  }

  /** Where its rank listens; null while none has it. */
  place(): Address | null {
    this.touch();
    return this.told === null ? null : this.host.kvDoorOf(this.told.rank);
  }

  /** How far it is. */
  state(): OfferState {
    this.touch();
    const { progress, run } = this.standing();
    const { promptTokenIds, outputTokenIds, sampling } = progress;
    const numTokens = this.told === null ? 0 : run!.numComputed;
    const numExactTokens = Math.min(numTokens, run?.firstDegraded ?? 0);
    const known = { promptTokenIds, outputTokenIds: [...outputTokenIds], sampling, numTokens, numExactTokens };
    const { pausesItself } = this.limits;
    return { ...known, isPaused: this.isPaused, pausesItself, isOver: this.over };
  }

  /** Resolves with the next change, or the end; may do so early. Rejects with the reason of `signal`. */
  async changed(signal?: AbortSignal): Promise<void> {
    this.touch();
    this.numWaiting++;
    let wake!: () => void;
    const woken = new Promise<void>((resolve) => this.wakes.push((wake = resolve)));
    signal?.addEventListener('abort', wake, { once: true });
    if (signal?.aborted !== true) await woken;
    signal?.removeEventListener('abort', wake);
    this.wakes = this.wakes.filter((each) => each !== wake);
    this.numWaiting--;
    if (this.ending === null) this.touch();
    signal?.throwIfAborted();
  }

  /** Resolves when no step computes it any more. Rejects with the reason of `signal`. @throws EngineError LEASE_OVER */
  async pause(signal?: AbortSignal): Promise<OfferState> {
    this.touch();
    if (!this.limits.pausesItself) this.host.pause();
    this.sync();
    while (!this.isPaused) {
      await this.changed(signal);
      this.check();
    }
    return this.state();
  }

  /** Somebody goes on with it. @throws EngineError LEASE_OVER; INVALID_REQUEST: it isn't paused */
  commit(): void {
    this.check();
    if (!this.isPaused) {
      throw new EngineError('INVALID_REQUEST', 'the request of this lease is computed here; pause it first');
    }
    this.close('committed');
  }

  /** It goes on here. */
  rollback(): void {
    this.close('rolled_back');
  }

  /** Its request finished, and what it holds stays for whoever comes for it. */
  hold(): void {
    this.over = true;
    this.sync();
  }

  /** The sequence may have gone on, to another rank or to its end: the ranks are told, and who waits. `isCut`: steps began that don't count. */
  sync(isCut = false): void {
    if (this.ending !== null) return;
    const standing = this.host.standing();
    if (standing === null) return this.close('lost');
    const { run, progress } = standing;
    const isPaused = standing.isPaused && !this.host.isTelling;
    if (isCut || run?.rank !== this.told?.rank) this.release();
    if (this.told?.isPaused !== isPaused) this.tell(standing, isPaused);
    const { numComputed = 0, rank = -1 } = run ?? {};
    const seen = [rank, numComputed, progress.outputTokenIds.length, isPaused, this.over].join();
    if (seen === this.seen) return;
    this.seen = seen;
    if (isPaused && this.limits.isPatient) this.touch();
    this.wake();
  }

  /** Ends it, once: ranks close their doors, then the sequence goes on, or frees what it holds. */
  close(end: OfferEnd): void {
    if (this.ending !== null) return;
    this.ending = end;
    this.stopTimer();
    this.release();
    this.host.ended(end);
    this.wake();
  }

  private get isPaused(): boolean {
    return this.host.standing()?.isPaused === true && !this.host.isTelling;
  }

  /** The rank that has the sequence lets others read it; when it pauses, it is told what there is: steps before the first order may have written more than it said. */
  private tell({ run, progress: { sequence } }: Standing, isPaused: boolean): void {
    if (run === null || this.host.kvDoorOf(run.rank) === null) return;
    const { rank, numComputed: numTokens } = run;
    const blocks = run.blocks.slice(0, Math.ceil(numTokens / this.limits.blockSize));
    this.told = { rank, isPaused };
    this.host.handover(rank, { kind: 'lease', lease: { ...this.lease, sequence, blocks, numTokens } });
  }

  private release(): void {
    if (this.told !== null) this.host.handover(this.told.rank, { kind: 'release', lease: this.lease.id });
    this.told = null;
  }

  private standing(): Standing {
    this.check();
    return this.host.standing()!;
  }

  private check(): void {
    if (this.ending === null) return;
    throw new EngineError(
      'LEASE_OVER',
      `this lease is over (${this.ending}); what is known of the request can be computed anew`,
    );
  }

  /** A sign of life. */
  private touch(): void {
    this.check();
    this.stopTimer();
    this.stopTimer = this.host.after(this.limits.timeoutMs, () => this.late());
  }

  private late(): void {
    if (this.numWaiting > 0 || (this.limits.isPatient && !this.isPaused)) this.touch();
    else this.close('expired');
  }

  private wake(): void {
    const { wakes } = this;
    this.wakes = [];
    for (const wake of wakes) wake();
  }
}
