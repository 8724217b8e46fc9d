/**
 * Gives a running job more or fewer ranks. Newcomers join at an epoch between two steps, and then get their share of experts. A rank that is to go
 * gives its experts and its sequences away first, beside the steps, and then leaves at an epoch. One order at a time; what comes and goes by itself
 * meanwhile is counted in, since every round looks at who is there. Why: docs/decisions/elastic.md#an-order-looks-at-who-is-there
 */
import { EngineError } from '../../protocol/errors.js';
import { ScaleOrders, type Tally } from './scale_orders.js';
import { scalePlan, stayingRanks, type RanksView, type ScalePlan } from './scale_plan.js';
import type { MovedCounts, OnScale, ScaleCause, Scaled, ScalingStats } from './scale_events.js';

/** The membership of a job, as scaling needs it. */
export interface ElasticJob {
  /** How many ranks it can have at a time. */
  readonly numSeats: number;
  readonly members: RanksView;
  /**
   * Has one more rank join: a spare, or a new process of this machine. Resolves with its seat when it is a member; rejects with why none can be, or when
   * `signal` is aborted before it is.
   */
  recruit(signal: AbortSignal): Promise<number>;
  /** Whether a rank is on its way out: it gets no more experts and no more sequences. Resolves when all ranks know, or it is gone. */
  setLeaving(rank: number, isLeaving: boolean): Promise<void>;
  /** Goes on without a rank that holds nothing any more. Resolves when it is no member; rejects where another one was lost before that. */
  retire(rank: number): Promise<void>;
}

/** Experts and sequences of a job, as scaling needs them. All of it happens beside the steps, and also where none run; what a loss undoes is done again. */
export interface ElasticWork {
  /** Puts experts where they should be among the ranks that may hold some. Rejects with EngineError where they can't be there. */
  spread(signal: AbortSignal): Promise<void>;
  /** Has the sequences of a rank that is leaving go on elsewhere. Resolves when it has none, or is lost. */
  drain(rank: number, signal: AbortSignal): Promise<void>;
  /** So far. */
  readonly moved: MovedCounts;
}

/** What an elastic job is made of. */
export interface ElasticParts {
  readonly job: ElasticJob;
  readonly work: ElasticWork;
  /** Newcomers that may start at the same time, at least 1. Default: any number. */
  readonly numAtOnce?: () => number;
  readonly onScale: OnScale;
}

/** Rounds of one order: ranks that are lost while others come are made up for, but not for ever. */
const MAX_ROUNDS = 16;

/** Who asked to leave. */
interface Asker {
  readonly rank: number;
  isLost: boolean;
  /** All is to end. */
  isToStay: boolean;
}

/** Carries out orders to scale. */
export class Elastic {
  private readonly orders: ScaleOrders;
  /** Aborted when a rank is lost: what ranks are to do next is found anew. */
  private unchanged = new AbortController();
  /** Ranks that asked to leave, and whose turn has not come. */
  private readonly askers = new Set<Asker>();

  constructor(private readonly parts: ElasticParts) {
    const { work, onScale } = parts;
    this.orders = new ScaleOrders(
      () => this.numRanks,
      () => work.moved,
      onScale,
    );
  }

  /** Ranks come or go. */
  get isScaling(): boolean {
    return this.orders.isBusy;
  }

  /** Ranks that are there and stay. */
  get numRanks(): number {
    return stayingRanks(this.parts.job.members).length;
  }

  /**
   * Gives the job so many ranks. When `signal` is aborted, newcomers that aren't in yet are sent away, and who is still on the way out stays.
   * @throws EngineError INVALID_REQUEST: no number of ranks that the job can have, or it is being scaled already; SCALE_FAILED: why, and how many
   *   ranks there are now; CLOSED
   */
  async scale(numRanks: number, cause: ScaleCause, signal?: AbortSignal): Promise<Scaled> {
    this.check(numRanks);
    return this.orders.take({
      ...{ cause, signal, wanted: () => numRanks },
      carryOut: async (wanted, tally, own, sinceMs) => {
        for (let round = 0; ; round++) {
          const plan = scalePlan(this.parts.job.members, wanted);
          if (plan.kind === 'done') return;
          if (round === MAX_ROUNDS)
            throw new EngineError('RANK_LOST', 'ranks were lost again and again meanwhile; try again');
          own.throwIfAborted();
          await this.follow(plan, tally, own, () => {
            if (this.numRanks === wanted) tally.firstMs ??= sinceMs();
          });
        }
      },
    });
  }

  /** A rank asks to leave. @throws EngineError SCALE_FAILED: it can't, and stays, or it was lost before it had left; CLOSED */
  leave(rank: number): Promise<Scaled> {
    const asker: Asker = { rank, isLost: false, isToStay: false };
    this.askers.add(asker);
    return this.orders.take({
      ...{ cause: { kind: 'leave', rank }, wanted: (numRanks) => numRanks - 1 },
      carryOut: async (wanted, tally, signal, sinceMs) => {
        this.askers.delete(asker);
        const lost = new EngineError('RANK_LOST', `rank ${rank} was lost before it had left`);
        if (asker.isLost) throw lost;
        const { members } = this.parts.job;
        if (asker.isToStay || !members.present.has(rank) || members.leaving.has(rank)) return;
        await this.letGo(rank, tally, signal);
        if (!tally.left.includes(rank)) throw lost;
        if (this.numRanks === wanted) tally.firstMs = sinceMs();
      },
    });
  }

  /** Ranks were lost: who was on the way out may be needed, and who takes their seats asked for nothing. */
  lose(ranks: readonly number[]): void {
    for (const asker of this.askers) asker.isLost ||= ranks.includes(asker.rank);
    this.unchanged.abort(new EngineError('RANK_LOST', 'a rank was lost meanwhile'));
    this.unchanged = new AbortController();
  }

  /** Whoever asked to leave and is still there stays, and so is it with what the policy began. */
  settle(): void {
    for (const asker of this.askers) asker.isToStay = true;
    this.orders.giveUp((cause) => cause.kind !== 'asked');
  }

  /** No step runs any more: what is being done is given up, and later orders are refused. */
  fail(error: Error): void {
    this.orders.fail(error);
  }

  /** What it did so far. */
  stats(): ScalingStats {
    return { maxRanks: this.parts.job.numSeats, ...this.orders.stats() };
  }

  private check(wanted: number): void {
    const { numSeats } = this.parts.job;
    const { failure } = this.orders;
    if (failure !== null) throw failure;
    const refuse = (text: string): never => {
      throw new EngineError('INVALID_REQUEST', text);
    };
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > numSeats) {
      const most = `this job has ${numSeats} ${numSeats === 1 ? 'seat' : 'seats'} (parallel.max_ranks)`;
      refuse(`${wanted} ranks; ${most}: give a whole number from 1 to ${numSeats}`);
    }
    if (this.isScaling) refuse('the job is being scaled already; ask again when it is over');
  }

  /** Until it is no member any more: it left, or was lost. */
  private async letGo(rank: number, tally: Tally, signal: AbortSignal): Promise<void> {
    do {
      if (stayingRanks(this.parts.job.members).every((each) => each === rank)) {
        await this.setLeaving([rank], false);
        throw new EngineError('INVALID_REQUEST', `no rank would stay but rank ${rank}; end the job instead`);
      }
      await this.shrink([rank], tally, signal);
    } while (this.parts.job.members.leaving.has(rank));
  }

  /** `onChange`: ranks came or went. */
  private async follow(
    plan: Exclude<ScalePlan, { kind: 'done' }>,
    tally: Tally,
    signal: AbortSignal,
    onChange: () => void,
  ): Promise<void> {
    if (plan.kind === 'grow') return this.grow(plan.numRanks, tally, signal, onChange);
    if (plan.kind === 'keep') return this.setLeaving(plan.ranks, false);
    await this.shrink(plan.ranks, tally, signal);
    onChange();
  }

  /** All that come get their share of experts together. Where one can't come, the others stay. `onIn`: they are there. */
  private async grow(numRanks: number, tally: Tally, signal: AbortSignal, onIn: () => void): Promise<void> {
    const numBefore = tally.joined.length;
    let refused: PromiseRejectedResult | undefined;
    for (let numLeft = numRanks; numLeft > 0 && refused === undefined;) {
      const { job, numAtOnce = () => numLeft } = this.parts;
      const count = Math.min(numLeft, numAtOnce());
      const coming = await Promise.allSettled(Array.from({ length: count }, () => job.recruit(signal)));
      tally.joined.push(...coming.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])));
      refused = coming.find((each) => each.status === 'rejected');
      numLeft -= count;
    }
    onIn();
    if (tally.joined.length > numBefore) await this.parts.work.spread(signal);
    if (refused !== undefined) throw refused.reason;
  }

  /** Experts and sequences go at the same time; then the ranks do. Where a rank is lost meanwhile, some of them may still be there. */
  private async shrink(ranks: readonly number[], tally: Tally, signal: AbortSignal): Promise<void> {
    const { job } = this.parts;
    const unchanged = this.unchanged.signal;
    try {
      await this.setLeaving(ranks, true);
      await this.empty(ranks, AbortSignal.any([signal, unchanged]));
    } catch (error) {
      if (unchanged.aborted && !signal.aborted) return;
      await this.setLeaving(ranks, false);
      throw error;
    }
    // One that was lost meanwhile isn't leaving any more, nor is who has its seat now.
    const left = ranks.filter((rank) => job.members.leaving.has(rank));
    const gone = await Promise.allSettled(left.map((rank) => job.retire(rank)));
    tally.left.push(...left.filter((_, i) => gone[i]!.status === 'fulfilled'));
    const refused = gone.find((each) => each.status === 'rejected');
    if (refused !== undefined && !unchanged.aborted) throw refused.reason;
  }

  /** Rejects as soon as one can't, and gives the others up. */
  private async empty(ranks: readonly number[], signal: AbortSignal): Promise<void> {
    const { work } = this.parts;
    const stopped = new AbortController();
    const own = AbortSignal.any([signal, stopped.signal]);
    const drains = ranks.map((rank) => work.drain(rank, own));
    try {
      await Promise.all([work.spread(own), ...drains]);
    } finally {
      stopped.abort();
    }
  }

  private async setLeaving(ranks: readonly number[], isLeaving: boolean): Promise<void> {
    await Promise.all(ranks.map((rank) => this.parts.job.setLeaving(rank, isLeaving)));
  }
}
