/**
 * Gives a running job more or fewer ranks. Newcomers join at an epoch between two steps, and then get their share of experts. A rank that is to go
 * gives its experts and its sequences away first, beside the steps, and then leaves at an epoch. One order at a time; what comes and goes by itself
 * meanwhile is counted in, since every round looks at who is there.
 */
import { causeText } from '../../../base/foreign_text.js';
import { EngineError } from '../../protocol/errors.js';
import { scalePlan, stayingRanks, type RanksView, type ScalePlan } from './scale_plan.js';
import type { OnScale, ScaleCause, Scaled, ScalingStats } from './scale_events.js';

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
  /** Goes on without a rank that holds nothing any more. Resolves when its process is gone. */
  retire(rank: number): Promise<void>;
}

/** Experts and sequences of a job, as scaling needs them. All of it happens beside the steps, and also where none run; what a loss undoes is done again. */
export interface ElasticWork {
  /** Puts experts where they should be among the ranks that may hold some. Rejects with EngineError where they can't be there. */
  spread(signal: AbortSignal): Promise<{ readonly numMovedExperts: number }>;
  /** Has the sequences of a rank that is leaving go on elsewhere. Resolves when it has none, or is lost. */
  drain(rank: number, signal: AbortSignal): Promise<{ readonly numMoved: number; readonly numRecomputed: number }>;
}

/** What an elastic job is made of. */
export interface ElasticParts {
  readonly job: ElasticJob;
  readonly work: ElasticWork;
  readonly onScale?: OnScale | undefined;
}

/** What an order came to so far. */
interface Tally {
  readonly startMs: number;
  readonly joined: number[];
  readonly left: number[];
  numMovedExperts: number;
  numMovedSequences: number;
  numRecomputed: number;
  firstMs: number | null;
}

/** Rounds of one order: ranks that are lost while others come are made up for, but not for ever. */
const MAX_ROUNDS = 16;

/** Carries out orders to scale. */
export class Elastic {
  private readonly figures = { numScaled: 0, numFailed: 0, lastError: null as string | null };
  private running: AbortController | null = null;
  /** What ranks do by themselves waits for its turn. */
  private last: Promise<unknown> = Promise.resolve();
  private numOrders = 0;
  private failure: Error | null = null;

  constructor(private readonly parts: ElasticParts) {}

  /** Ranks come, go, or get their share. */
  get isScaling(): boolean {
    return this.numOrders > 0;
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
  async scale(wanted: number, cause: ScaleCause, signal?: AbortSignal): Promise<Scaled> {
    this.check(wanted);
    return this.order({ wanted, cause, signal }, (tally, own) => this.carryOut(wanted, tally, own));
  }

  /** A rank asks to leave. @throws EngineError SCALE_FAILED: it can't, and stays; CLOSED */
  leave(rank: number): Promise<Scaled> {
    return this.inTurn({ kind: 'leave', rank }, async (tally, signal) => {
      const { present, leaving } = this.parts.job.members;
      if (!present.has(rank) || leaving.has(rank)) return;
      if (this.numRanks === 1)
        throw new EngineError('INVALID_REQUEST', `rank ${rank} is the last one; end the job instead`);
      await this.shrink([rank], tally, signal);
    });
  }

  /** Ranks joined that nobody ordered: they get their share. */
  welcome(seats: readonly number[]): Promise<Scaled> {
    return this.inTurn({ kind: 'join', ranks: seats }, (tally, signal) => this.spread(tally, signal));
  }

  /** No step runs any more: what is being done is given up, and later orders are refused. */
  fail(error: Error): void {
    this.failure ??= error;
    this.running?.abort();
  }

  /** What it did so far. */
  stats(): ScalingStats {
    return { maxRanks: this.parts.job.numSeats, isScaling: this.isScaling, ...this.figures };
  }

  private check(wanted: number): void {
    const { numSeats } = this.parts.job;
    const refuse = (text: string): never => {
      throw new EngineError('INVALID_REQUEST', text);
    };
    if (this.failure !== null) throw this.failure;
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > numSeats) {
      const most = `this job has ${numSeats} ${numSeats === 1 ? 'seat' : 'seats'} (parallel.max_ranks)`;
      refuse(`${wanted} ranks; ${most}: give a whole number from 1 to ${numSeats}`);
    }
    if (this.isScaling) refuse('the job is being scaled already; ask again when it is over');
  }

  private inTurn(cause: ScaleCause, work: (tally: Tally, signal: AbortSignal) => Promise<void>): Promise<Scaled> {
    return this.order({ wanted: null, cause, signal: undefined }, work);
  }

  /** Begins when what was ordered earlier is over. */
  private async order(
    {
      wanted,
      cause,
      signal,
    }: { readonly wanted: number | null; readonly cause: ScaleCause; readonly signal: AbortSignal | undefined },
    work: (tally: Tally, signal: AbortSignal) => Promise<void>,
  ): Promise<Scaled> {
    this.numOrders++;
    const earlier = this.last;
    const turn = earlier.then(() => this.run({ wanted, cause, signal }, work));
    this.last = turn.then(ignore, ignore);
    return turn.finally(() => this.numOrders--);
  }

  private async run(
    {
      wanted,
      cause,
      signal,
    }: { readonly wanted: number | null; readonly cause: ScaleCause; readonly signal: AbortSignal | undefined },
    work: (tally: Tally, signal: AbortSignal) => Promise<void>,
  ): Promise<Scaled> {
    if (this.failure !== null) throw this.failure;
    const { onScale } = this.parts;
    const before = this.numRanks;
    const tally = newTally();
    this.running = new AbortController();
    const own = signal === undefined ? this.running.signal : AbortSignal.any([signal, this.running.signal]);
    try {
      onScale?.({ kind: 'begun', before, wanted, cause });
      await work(tally, own);
      const { startMs, ...came } = tally;
      const scaled: Scaled = { before, after: this.numRanks, ...came, ms: performance.now() - startMs };
      this.figures.numScaled++;
      onScale?.({ kind: 'done', cause, ...scaled });
      return scaled;
    } catch (thrown) {
      throw this.failed(thrown, before, cause);
    } finally {
      this.running = null;
    }
  }

  private async carryOut(wanted: number, tally: Tally, signal: AbortSignal): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const plan = scalePlan(this.parts.job.members, wanted);
      if (plan.kind === 'done') return;
      signal.throwIfAborted();
      await this.follow(plan, tally, signal);
    }
    throw new EngineError('RANK_LOST', 'ranks were lost again and again meanwhile');
  }

  private follow(plan: Exclude<ScalePlan, { kind: 'done' }>, tally: Tally, signal: AbortSignal): Promise<void> {
    return plan.kind === 'grow' ? this.grow(plan.numRanks, tally, signal) : this.shrink(plan.ranks, tally, signal);
  }

  /** All that come get their share at once. Where one can't come, the others stay. */
  private async grow(numRanks: number, tally: Tally, signal: AbortSignal): Promise<void> {
    const { job } = this.parts;
    const coming = await Promise.allSettled(Array.from({ length: numRanks }, () => job.recruit(signal)));
    const seats = coming.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    tally.joined.push(...seats);
    if (seats.length === numRanks) tally.firstMs ??= performance.now() - tally.startMs;
    if (seats.length > 0) await this.spread(tally, signal);
    const refused = coming.find((each) => each.status === 'rejected');
    if (refused !== undefined) throw refused.reason;
  }

  /** Experts and sequences go at the same time; then the ranks do. */
  private async shrink(ranks: readonly number[], tally: Tally, signal: AbortSignal): Promise<void> {
    const { job } = this.parts;
    const stopped = new AbortController();
    try {
      for (const rank of ranks) await job.setLeaving(rank, true);
      await this.empty(ranks, tally, AbortSignal.any([signal, stopped.signal]));
    } catch (error) {
      stopped.abort();
      for (const rank of ranks) await job.setLeaving(rank, false);
      throw error;
    }
    // One that was lost meanwhile isn't leaving any more, nor is who has its seat now.
    const left = ranks.filter((rank) => job.members.leaving.has(rank));
    await Promise.all(left.map((rank) => job.retire(rank)));
    tally.left.push(...left);
    tally.firstMs ??= performance.now() - tally.startMs;
  }

  private async empty(ranks: readonly number[], tally: Tally, signal: AbortSignal): Promise<void> {
    const { work } = this.parts;
    const drains = ranks.map(async (rank) => {
      const { numMoved, numRecomputed } = await work.drain(rank, signal);
      tally.numMovedSequences += numMoved;
      tally.numRecomputed += numRecomputed;
    });
    await Promise.all([this.spread(tally, signal), ...drains]);
  }

  private async spread(tally: Tally, signal: AbortSignal): Promise<void> {
    tally.numMovedExperts += (await this.parts.work.spread(signal)).numMovedExperts;
  }

  private failed(thrown: unknown, before: number, cause: ScaleCause): Error {
    if (this.failure !== null) return this.failure;
    const after = this.numRanks;
    const text = `the job goes on with ${after} ${after === 1 ? 'rank' : 'ranks'} (${causeText(thrown)}); try again`;
    const error = new EngineError('SCALE_FAILED', text, { cause: thrown });
    this.figures.numFailed++;
    this.figures.lastError = error.message;
    this.parts.onScale?.({ kind: 'failed', before, after, cause, error });
    return error;
  }
}

const ignore = (): void => undefined;

const newTally = (): Tally => ({
  startMs: performance.now(),
  joined: [],
  left: [],
  numMovedExperts: 0,
  numMovedSequences: 0,
  numRecomputed: 0,
  firstMs: null,
});
