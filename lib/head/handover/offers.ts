/** The requests of an engine that may go on elsewhere, and those that are offered. */
import type { HandoverRunner } from '../../job/step_runner.js';
import { shown } from '../../../base/foreign_text.js';
import { EngineError } from '../../protocol/errors.js';
import type { SequenceEnd } from '../observing/request_news.js';
import type { Scheduler } from '../scheduling/scheduler.js';
import type { Offer, OfferEnd, OfferOptions } from './offer.js';
import { OpenOffer, type OfferHost, type OfferLimits } from './open_offer.js';

/** Offers that may be open at a time. */
export const MAX_OFFERS = 1024;

/** Who has the sequences, and who acts. */
export interface OffersParts {
  readonly scheduler: Pick<Scheduler, 'pause' | 'resume' | 'hold' | 'standingOf' | 'isStalled' | 'unstall'>;
  readonly ranks: Pick<HandoverRunner, 'handover' | 'kvDoorOf'>;
  /** Keys and values are all that there is of a sequence: no layer has a state, which others don't read. Default true. */
  readonly isReadable?: boolean;
  /** Tokens of KV blocks. */
  readonly blockSize: number;
  /** How long an offer lasts without a sign of life. */
  readonly timeoutMs: number;
  /** Calls `then` later, unless it is told otherwise by what this returns. Default: timers of this process. */
  readonly after?: (ms: number, then: () => void) => () => void;
  /** A request goes on elsewhere. */
  readonly onMoved: (sequence: number) => void;
  /** Blocks of a request that is over are held no longer. */
  readonly onFree: (sequence: number) => void;
  /** A sequence goes on. */
  readonly onWork: () => void;
}

/** A request that may go on elsewhere. */
interface Movable {
  readonly id: string;
  /** It was offered from its beginning on. */
  readonly isHandedOver: boolean;
}

/** At most one is open of each request. */
export class Offers {
  private readonly movable = new Map<number, Movable>();
  private readonly offers = new Map<number, OpenOffer>();
  /** What a step brought is being told. */
  private isTelling = false;
  /** Null: something is computed, or nothing waits for it. */
  private stopStall: (() => void) | null = null;

  constructor(private readonly parts: OffersParts) {}

  /** How many are open. */
  get size(): number {
    return this.offers.size;
  }

  /** @throws EngineError QUEUE_FULL: too many are open */
  checkRoom(): void {
    if (this.offers.size < MAX_OFFERS) return;
    throw new EngineError('QUEUE_FULL', `${MAX_OFFERS} requests are offered already; try again later`);
  }

  /** A movable request was queued. `pauseAfter`: it is offered at once, and pauses with so many tokens of output; null: it isn't. */
  admit(sequence: number, id: string, pauseAfter: number | null): void {
    this.movable.set(sequence, { id, isHandedOver: pauseAfter !== null });
    if (pauseAfter === null) return;
    this.parts.scheduler.pause(sequence, pauseAfter);
    this.open(sequence, { isPatient: true, pausesItself: true });
  }

  /**
   * Offers a request; one that is offered from its beginning on has its offer already.
   * @throws EngineError NOT_MOVABLE: there is none, or it is offered already; QUEUE_FULL: too many are
   */
  offer(id: string, { pauseAfter }: OfferOptions): Offer {
    const sequence = this.sequenceOf(id);
    const open = this.offers.get(sequence);
    if (open !== undefined && this.movable.get(sequence)!.isHandedOver) return open;
    if (open !== undefined) throw notMovable(`request ${shown(id)} is offered already; wait until that lease is over`);
    this.checkRoom();
    if (pauseAfter !== undefined) this.parts.scheduler.pause(sequence, pauseAfter);
    return this.open(sequence, { isPatient: false, pausesItself: pauseAfter !== undefined });
  }

  /** Whether a request may be offered now. */
  isMovable(sequence: number): boolean {
    return this.movable.has(sequence) && !this.offers.has(sequence);
  }

  /** Something happened to sequences: see {@link OpenOffer.sync}. */
  sync(isCut = false): void {
    for (const offer of [...this.offers.values()]) offer.sync(isCut);
    this.watchStall();
  }

  /** Between `true` and `false` requests are told what a step brought: nobody takes note of what they have. */
  tell(isTelling: boolean): void {
    this.isTelling = isTelling;
    if (!isTelling) this.sync();
  }

  /** A request is over, for a reason where it finished. True: its blocks are held for whoever comes for them. */
  over(sequence: number, reason: SequenceEnd | null): boolean {
    const isHandedOver = this.movable.get(sequence)?.isHandedOver === true;
    const offer = this.offers.get(sequence);
    if (offer === undefined || reason !== 'length' || !isHandedOver) {
      this.movable.delete(sequence);
      offer?.close('finished');
      return false;
    }
    this.parts.scheduler.hold(sequence);
    offer.hold();
    return true;
  }

  /** Nobody goes on with anything any more. */
  close(): void {
    for (const offer of [...this.offers.values()]) offer.close('lost');
    this.stopStall?.();
  }

  /** Two instances whose paused sequences wait for each other's room would wait for ever. */
  private watchStall(): void {
    const { scheduler, after = afterOf, timeoutMs, onWork } = this.parts;
    const isStalled = this.offers.size > 0 && scheduler.isStalled;
    if (isStalled === (this.stopStall !== null)) return;
    this.stopStall?.();
    this.stopStall = null;
    if (!isStalled) return;
    this.stopStall = after(timeoutMs, () => {
      this.stopStall = null;
      scheduler.unstall();
      this.sync();
      onWork();
    });
  }

  private open(sequence: number, how: Pick<OfferLimits, 'isPatient' | 'pausesItself'>): OpenOffer {
    const { blockSize, timeoutMs } = this.parts;
    const offer = new OpenOffer(this.hostOf(sequence), { blockSize, timeoutMs, ...how });
    this.offers.set(sequence, offer);
    offer.sync();
    return offer;
  }

  private hostOf(sequence: number): OfferHost {
    const { scheduler, ranks, isReadable = true, after = afterOf } = this.parts;
    const isTelling = (): boolean => this.isTelling;
    return {
      standing: () => scheduler.standingOf(sequence),
      get isTelling() {
        return isTelling();
      },
      kvDoorOf: (rank) => (isReadable ? ranks.kvDoorOf(rank) : null),
      handover: (rank, order) => void ranks.handover(rank, order),
      pause: () => scheduler.pause(sequence, 0),
      after,
      ended: (end) => this.ended(sequence, end),
    };
  }

  private ended(sequence: number, end: OfferEnd): void {
    const { scheduler, onMoved, onFree, onWork } = this.parts;
    const isOver = this.offers.get(sequence)!.isOver;
    this.offers.delete(sequence);
    const movable = this.movable.get(sequence);
    if (isOver || movable === undefined) this.movable.delete(sequence);
    else this.movable.set(sequence, { ...movable, isHandedOver: false });
    if (isOver) return onFree(sequence);
    if (end === 'committed') return onMoved(sequence);
    scheduler.resume(sequence);
    if (end === 'rolled_back' || end === 'expired') onWork();
  }

  private sequenceOf(id: string): number {
    const [sequence, other] = [...this.movable].flatMap(([each, movable]) => (movable.id === id ? [each] : []));
    if (sequence === undefined) throw notMovable(`no request ${shown(id)} runs that may go on elsewhere`);
    if (other !== undefined) throw notMovable(`several requests are called ${shown(id)}; give each a name of its own`);
    return sequence;
  }
}

const notMovable = (text: string): EngineError => new EngineError('NOT_MOVABLE', text);

function afterOf(ms: number, then: () => void): () => void {
  const timer = setTimeout(then, ms).unref();
  return () => clearTimeout(timer);
}
