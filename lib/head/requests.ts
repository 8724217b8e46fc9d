/** The requests that run: each a sequence of the scheduler, and somebody who takes what steps make of it. */
import { takersOf } from '../job/members.js';
import type { EpochChange, StepRunner } from '../job/step_runner.js';
import { EngineError } from '../protocol/errors.js';
import type { FreeOrder, PlanPart, SequenceOutput, StepPlan, StepResult } from '../protocol/step_plan.js';
import type { ScheduledPlan, Scheduler, SequenceRequest } from './scheduling/scheduler.js';
import type { ToldHooks } from './hooks/told_hooks.js';
import type { RequestNews, SequenceEnd } from './observing/request_news.js';
import type { Sequence } from './sequence.js';
import { Drains } from './drains.js';
import type { StoreRunner } from '../job/step_runner.js';
import type { LiftReport, StoreNews } from '../protocol/kv_store.js';
import type { BlockNumbers } from './kv/kv_costs.js';
import { Lifts } from './kv/lifts.js';
import { TierLoads } from './kv/tier_loads.js';
import type { Arrival, ArrivalHost } from './handover/arrival.js';
import type { Offer, OfferOptions } from './handover/offer.js';
import type { Fetches } from './handover/fetches.js';
import type { HeldLoan } from './kv/held_loan.js';
import type { Lending } from './kv/lending.js';
import { Offers, type OffersParts } from './handover/offers.js';
import { untilOver } from './until_over.js';

/** A step that every rank finished which is left, by rank; the result is null for one that was lost earlier. */
export interface SettledStep {
  readonly plans: readonly StepPlan[];
  readonly results: readonly (StepResult | null)[];
}

/** A request that is not over. */
interface RunningRequest {
  readonly taker: Sequence;
  /** Null: nobody looks. */
  readonly hooks: ToldHooks | null;
  /** Positions whose tokens lost an expert. */
  readonly degraded: Set<number>;
  /** Its caller's signal is not listened to any more. */
  forget(): void;
  /** Aborted when it is. */
  readonly over: AbortController;
  /** It comes from another instance; null: it doesn't, or it is here. */
  arrival: Comer | null;
  /** Null: it stays here. */
  readonly movable: Movable | null;
}

/** Whoever comes, as far as requests have to do with it. */
type Comer = Pick<Arrival, 'settle' | 'cancel'>;

/** A request that another instance may go on with. */
interface Movable {
  readonly id: string;
  readonly pauseAfter: number | null;
}

/** Prefixes that are fetched at a time for nobody yet. */
const MAX_BRINGING = 8;

/** What a request may have. */
export interface RequestExtras {
  /** As its caller named it. Default null: not at all. */
  readonly id?: string | null | undefined;
  /** Default null: nobody looks. */
  readonly hooks?: ToldHooks | null;
  /** Another instance may go on with it, by its id. Default false. */
  readonly isMovable?: boolean;
  /** It is offered at once, and pauses with so many tokens of output. Default null: it isn't. */
  readonly pauseAfter?: number | null;
  /** Brings it here from another instance, where it {@link SequenceRequest.arrives}. Default null. */
  readonly arrival?: Comer | null;
}

/** What requests run on. */
export interface RequestsParts extends Pick<
  OffersParts,
  'blockSize' | 'timeoutMs' | 'after' | 'onWork' | 'isReadable'
> {
  readonly scheduler: Scheduler;
  readonly job: Pick<StepRunner, 'free'> & Pick<StoreRunner, 'store'> & OffersParts['ranks'];
  /** How long a rank may take to load so many blocks from its tiers. */
  readonly loadMs: (blocks: BlockNumbers) => number;
  /** Told what bringing blocks took. Default: nobody is. */
  readonly onBrought?: ((blocks: BlockNumbers, ms: number) => void) | undefined;
  /** Bring blocks from other ranks and instances. */
  readonly fetches: Pick<Fetches, 'ofRanks' | 'ofLoans'>;
  /** Hears what ranks are to forget before they do. Default: nothing is lent. */
  readonly lending?: Pick<Lending, 'forget' | 'enter' | 'close'>;
  /** Told what becomes of each request; what it throws ends all of them. Default: nobody is. */
  readonly onNews?: (news: RequestNews) => void;
}

/** Who computes and who waits; it never waits for a step itself. */
export class Requests implements ArrivalHost {
  /** By sequence. */
  private readonly running = new Map<number, RunningRequest>();
  private readonly drains = new Drains((rank) => this.scheduler.isDrained(rank));
  /** Ranks are to hear of nothing before the plans that were made. */
  private isPlanning = false;
  /** Lost ranks, each with why. */
  private readonly lost = new Map<number, EngineError>();
  /** What ended all requests; null while new ones are taken. */
  private ended: Error | null = null;
  private settleClosed!: (error: Error) => void;
  /** Resolves with what ended all requests. */
  readonly closed = new Promise<Error>((resolve) => (this.settleClosed = resolve));

  private readonly scheduler: Scheduler;
  private readonly offers: Offers;
  private readonly loads: TierLoads;
  private readonly lifts: Lifts;
  /** Blocks that come for nobody yet, by sequence. */
  private readonly bringing = new Map<number, (numBlocks: number) => void>();

  constructor(private readonly parts: RequestsParts) {
    this.scheduler = parts.scheduler;
    this.offers = new Offers({
      ...{ ...parts, ranks: parts.job },
      onMoved: (sequence) => this.moved(sequence),
      onFree: (sequence) => this.takeBack(sequence),
    });
    this.loads = new TierLoads({
      ...{ ranks: parts.job, loadMs: parts.loadMs, onBrought: parts.onBrought },
      onLost: (rank, lost) => this.scheduler.hearStore(rank, { found: [], lost }),
    });
    this.lifts = new Lifts({
      sources: { tier: this.loads, rank: parts.fetches.ofRanks, loan: parts.fetches.ofLoans },
      onEnd: (...end) => this.endLift(...end),
      onFail: (sequence, error) => {
        this.brought(sequence, 0);
        this.failOne(sequence, errorFrom(error));
      },
    });
  }

  /** What ended all requests, after which none is taken; null until then. */
  get failure(): Error | null {
    return this.ended;
  }

  /**
   * Queues a request. When `signal` is aborted it ends at once, with CLOSED, also where nobody asks for its next event. Returns how its caller
   * gives it up: nothing happens where it is over. Throws what {@link fail} was told, and QUEUE_FULL where it would be one offered request too many.
   */
  add(
    request: SequenceRequest,
    taker: Sequence,
    signal: AbortSignal | undefined,
    { id = null, hooks = null, isMovable = false, pauseAfter = null, arrival = null }: RequestExtras = {},
  ): () => void {
    if (this.ended !== null) throw this.ended;
    if (pauseAfter !== null) this.offers.checkRoom();
    const { sequence, promptTokenIds, maxNewTokens } = request;
    const onAbort = (): void =>
      this.failOne(sequence, new EngineError('CLOSED', 'the request was cancelled by its caller'));
    const forget = (): void => signal?.removeEventListener('abort', onAbort);
    const movable = isMovable ? { id: id!, pauseAfter } : null;
    const told = { taker, hooks, degraded: new Set<number>(), forget, over: new AbortController() };
    this.running.set(sequence, { ...told, arrival, movable });
    this.scheduler.add(request);
    if (arrival === null) this.admitMovable(sequence);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.tell({ kind: 'queued', sequence, id, numPromptTokens: promptTokenIds.length, maxNewTokens });
    if (signal?.aborted === true) onAbort();
    return () => this.end({ kind: 'ended', sequence, error: null });
  }

  /**
   * What every rank computes in the next step; null when there is nothing to compute, unless a step is needed all the same. Until {@link told} ranks hear of
   * nothing else: whoever is given up meanwhile is in the plans.
   */
  next(step: { readonly isNeeded: boolean }): ScheduledPlan[] | null {
    const plans = this.scheduler.next(step);
    this.settleArrivals(); // what gave way isn't written any more
    this.offers.sync();
    this.free(); // of sequences that gave way to what is planned
    this.lifts.start(this.scheduler.lifts);
    this.isPlanning = plans !== null;
    for (const move of this.scheduler.takeMoves()) {
      if (move.kind === 'admitted') this.running.get(move.sequence)?.taker.admit?.(move.numCachedTokens);
      this.tell(move);
    }
    this.drains.check();
    return plans;
  }

  /** The ranks have the plans that {@link next} made, or won't get them. */
  told(): void {
    this.isPlanning = false;
  }

  /** What counts of a step that every rank finished which is left: without what ended or gave way while it ran. {@link commit} comes next. */
  settle(plans: readonly StepPlan[], results: readonly (StepResult | null)[]): SettledStep {
    const settled = plans.map((plan, rank) => {
      const result = results[rank] ?? null;
      const { plan: own, outputs } = this.scheduler.settle(plan, result?.outputs ?? []);
      return { plan: own, result: result && { ...result, outputs } };
    });
    return { plans: settled.map(({ plan }) => plan), results: settled.map(({ result }) => result) };
  }

  /** Every rank that is left finished the step: its tokens count. Of what {@link settle} left. */
  async commit(step: SettledStep): Promise<void> {
    this.offers.tell(true);
    await this.take(step);
    this.offers.tell(false);
  }

  private async take({ plans, results }: SettledStep): Promise<void> {
    for (const [rank, plan] of plans.entries()) {
      const { outputs } = results[rank] ?? NO_RESULT;
      this.scheduler.commit(plan, outputs);
      for (const [i, output] of outputs.entries()) {
        const running = this.running.get(output.sequence);
        if (running === undefined) continue; // given up while the step ran
        for (const position of output.degraded ?? []) running.degraded.add(position);
        if (plan.parts[i]!.isReplay) continue;
        const { sequence, tokenId } = output;
        if (tokenId !== null) this.tell({ kind: 'token', sequence, tokenId });
        try {
          const taken = give(running, plan.parts[i]!, output);
          // A caller's promise that never settles holds up the others until this request is over, and not longer.
          const reason = await (taken instanceof Promise ? untilOver(taken, running.over.signal) : taken);
          if (reason !== null) this.end({ kind: 'finished', sequence, reason });
        } catch (error) {
          // Its caller's: onLogits, or a hook.
          this.failOne(sequence, errorFrom(error));
        }
      }
    }
    this.scheduler.arrive(
      plans[0]!.step,
      results.map((result) => result?.kv),
    );
  }

  /**
   * Ranks came or went: what lost ones computed for is queued again, unless it may be what breaks them. Returns how many are, and how many failed.
   */
  enter({ epoch, members, lost, left, abandonedStep }: EpochChange): {
    readonly numRecomputed: number;
    readonly numFailed: number;
  } {
    for (const { rank, error } of lost) this.lost.set(rank, error);
    // A process that was killed, or a link that was cut, says nothing against what the rank computed.
    const failedRanks = lost.filter(({ error }) => error.code !== 'RANK_LOST').map(({ rank }) => rank);
    const { present, leaving } = members;
    const gone = [...lost.map(({ rank }) => rank), ...left];
    const ranks = { present, takers: new Set(takersOf(members)), leaving, failed: failedRanks, gone };
    const { numRequeued, failed } = this.scheduler.enter({ epoch, ...ranks, hasAbandoned: abandonedStep !== null });
    this.parts.lending?.enter(present);
    this.settleArrivals();
    this.lifts.stop(this.scheduler.lifts);
    for (const { sequence, ranks: broken } of failed) this.failOne(sequence, this.brokenBy(broken));
    this.offers.sync(abandonedStep !== null);
    this.drains.check();
    return { numRecomputed: numRequeued, numFailed: failed.length };
  }

  /** As {@link Scheduler.learn}, of a request that comes from another instance. */
  learn(sequence: number, outputTokenIds: readonly number[]): void {
    this.scheduler.learn(sequence, outputTokenIds);
    this.settleArrivals();
    this.free();
    if (this.scheduler.placeOf(sequence) === null) this.parts.onWork(); // it gave way, and may have room elsewhere
  }

  /** As {@link Scheduler.land}. */
  land(sequence: number, numTokens: number, numExact: number): void {
    this.scheduler.land(sequence, numTokens, numExact);
  }

  /** It goes on here behind these tokens of output. */
  endArrival(sequence: number, outputTokenIds: readonly number[]): void {
    const running = this.running.get(sequence);
    if (running === undefined) return;
    running.arrival = null;
    const reason = running.taker.resume!(outputTokenIds);
    if (reason !== null) return this.end({ kind: 'finished', sequence, reason });
    this.scheduler.endArrival(sequence);
    this.admitMovable(sequence);
    this.parts.onWork();
  }

  /** It can't be brought here. */
  failArrival(sequence: number, error: unknown): void {
    this.failOne(sequence, errorFrom(error));
  }

  /** Offers a movable request to other instances. @throws EngineError NOT_MOVABLE, QUEUE_FULL */
  offer(id: string, options: OfferOptions = {}): Offer {
    return this.offers.offer(id, options);
  }

  /** Whether a request can be offered to other instances now: it is movable, isn't offered, and doesn't just come from one. */
  isMovable(sequence: number): boolean {
    return this.offers.isMovable(sequence);
  }

  /** Sequences move, or are to: a step follows from what the one before brought. */
  get isMoving(): boolean {
    return this.scheduler.isMoving;
  }

  /** Resolves as soon as no sequence runs on a rank, also because it is lost. Rejects with the reason of `signal`, when that is aborted before. */
  drained(rank: number, signal?: AbortSignal): Promise<void> {
    return this.drains.wait(rank, signal);
  }

  /** As {@link Scheduler.resetPrefixCache}; ranks hear of it before the next step. */
  resetPrefixCache(): boolean {
    const isReset = this.scheduler.resetPrefixCache();
    this.free();
    return isReset;
  }

  /**
   * Has blocks come that another instance lent, for whoever asks next. Resolves with how many came: 0 where there is no room, or they are there.
   * @throws EngineError QUEUE_FULL: too many come already; what {@link fail} was told
   */
  async bring(sequence: number, keys: readonly string[], loan: HeldLoan, signal?: AbortSignal): Promise<number> {
    if (this.ended !== null) throw this.ended;
    if (this.bringing.size >= MAX_BRINGING) {
      throw new EngineError('QUEUE_FULL', `${MAX_BRINGING} prefixes are being fetched already; try again later`);
    }
    if (!this.scheduler.bring(sequence, keys, loan)) return 0;
    const coming = new Promise<number>((resolve) => this.bringing.set(sequence, resolve));
    const stop = (): void => this.brought(sequence, 0);
    signal?.addEventListener('abort', stop, { once: true });
    this.parts.onWork();
    return coming.finally(() => signal?.removeEventListener('abort', stop));
  }

  /** They are in the cache now, and nobody's; or they gave way. Nothing happens where that isn't what comes. */
  private brought(sequence: number, numBlocks: number): void {
    const resolve = this.bringing.get(sequence);
    if (resolve === undefined) return;
    this.bringing.delete(sequence);
    this.takeBack(sequence);
    resolve(numBlocks);
  }

  /** What came of a load from a rank's tiers. */
  hearLift(rank: number, report: LiftReport): void {
    this.loads.hear(rank, report);
    this.free();
  }

  /** As {@link Scheduler.hearStore}. */
  hearStore(rank: number, news: StoreNews): void {
    this.scheduler.hearStore(rank, news);
    this.free();
  }

  /** Ends all requests, and refuses later ones, with the first error that this is told. */
  fail(error: Error): void {
    this.ended ??= error;
    this.settleClosed(this.ended);
    this.offers.close();
    this.parts.lending?.close();
    for (const sequence of [...this.running.keys()]) this.failOne(sequence, this.ended);
    this.lifts.stop(new Map());
    for (const sequence of this.bringing.keys()) this.brought(sequence, 0);
  }

  /** Forgets a sequence, whether it finished, failed or was given up; its rank frees what nobody else holds. Once: nothing happens later. */
  private end(news: Extract<RequestNews, { kind: 'finished' | 'ended' }>): void {
    const { sequence } = news;
    const running = this.running.get(sequence);
    if (running === undefined) return; // it ended otherwise meanwhile
    this.running.delete(sequence);
    running.forget();
    running.over.abort();
    const { arrival } = running;
    arrival?.cancel();
    if (!this.offers.over(sequence, news.kind === 'finished' ? news.reason : null)) this.takeBack(sequence);
    this.tell(news);
  }

  private admitMovable(sequence: number): void {
    const movable = this.running.get(sequence)?.movable;
    if (movable) this.offers.admit(sequence, movable.id, movable.pauseAfter);
  }

  /** Those that come hear where they have room. */
  private settleArrivals(): void {
    for (const [sequence, { arrival }] of this.running) arrival?.settle(this.scheduler.placeOf(sequence));
  }

  /** Its rank forgets a sequence, and frees what nobody else holds; who waits may have room then, also where no step runs. */
  private takeBack(sequence: number): void {
    this.scheduler.finish(sequence);
    this.drains.check();
    this.free();
    if (this.ended === null && this.scheduler.numWaiting > 0) this.parts.onWork();
  }

  /** Another instance goes on with a request. */
  private moved(sequence: number): void {
    this.running.get(sequence)!.taker.move?.();
    this.end({ kind: 'finished', sequence, reason: 'moved' });
  }

  private tell(news: RequestNews): void {
    try {
      this.parts.onNews?.(news);
    } catch (error) {
      this.fail(errorFrom(error));
    }
  }

  /** Ranks forget what the scheduler took back, which nothing is lifted into any more, and hear what becomes of their tiers. */
  private free(): void {
    if (this.ended !== null || this.isPlanning) return;
    const { scheduler, lifts } = this;
    const { job, lending } = this.parts;
    lifts.stop(scheduler.lifts);
    for (const sequence of this.bringing.keys()) {
      if (scheduler.standingOf(sequence) === null) this.brought(sequence, 0); // it gave way
    }
    for (const { rank, orders = [], ...free } of scheduler.takeFreed()) {
      for (const order of orders) job.store(rank, order);
      lending?.forget({ rank, ...free });
      if (numIn(free) > 0) job.free(rank, free);
    }
  }

  /** A sequence begins behind what was lifted for it. */
  private endLift(sequence: number, numBlocks: number): void {
    this.scheduler.endLift(sequence, numBlocks);
    this.brought(sequence, numBlocks);
    this.free();
    this.parts.onWork();
  }

  /** Fails one request; the others go on. */
  private failOne(sequence: number, error: Error): void {
    const running = this.running.get(sequence);
    if (running === undefined) return;
    running.taker.fail(error);
    this.end({ kind: 'ended', sequence, error });
  }

  private brokenBy(ranks: readonly number[]): EngineError {
    const reasons = [...new Set(ranks.map((rank) => this.lost.get(rank)!.reason))].join(', and ');
    const text =
      `two ranks were lost while they computed this request: ${reasons}; the others go on without it: change it, ` +
      'or, where it took too long, raise comm.timeout_ms or lower engine.max_num_batched_tokens';
    const last = ranks.at(-1)!;
    return new EngineError('RANK_FAILED', text, { rank: last, cause: this.lost.get(last) });
  }
}

/** Hooks hear of what a step made before the request takes it. */
const give = (
  running: RunningRequest,
  part: PlanPart,
  output: SequenceOutput,
): SequenceEnd | null | Promise<SequenceEnd | null> =>
  running.hooks === null
    ? running.taker.take(part, output, running.degraded.size)
    : tellAndGive(running, running.hooks, part, output);

async function tellAndGive(
  { taker, degraded, over }: RunningRequest,
  hooks: ToldHooks,
  part: PlanPart,
  output: SequenceOutput,
): Promise<SequenceEnd | null> {
  await hooks.tell(part, output, over.signal);
  return over.signal.aborted ? null : taker.take(part, output, degraded.size);
}

/** Of a rank that was lost before the step: its plan is empty too. */
const NO_RESULT: Pick<StepResult, 'outputs'> = { outputs: [] };

/** What was thrown, as an error. */
export const errorFrom = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

const numIn = ({ blocks, sequences, states = [], keep = [] }: FreeOrder): number =>
  blocks.length + sequences.length + states.length + keep.length;
