/**
 * Which tokens the next step computes, and where: pure bookkeeping, no I/O. A {@link SchedulingPolicy} decides; this holds what it decides about:
 * who waits and runs, who holds which KV blocks, what was committed, and what becomes of it when ranks are lost.
 */
import type { LendableBlocks } from '../kv/lending.js';
import type { RequestNews } from '../observing/request_news.js';
import { GREEDY } from '../../protocol/sampling.js';
import type { PlanPart, SequenceOutput, SequenceStart, SequenceWants } from '../../protocol/step_plan.js';
import type { HeldLoan } from '../kv/held_loan.js';
import { BlockHasher, BlockKeys } from './blocks/block_keys.js';
import { Crowds } from './crowds.js';
import { Pauses } from './pauses.js';
import { bestPlace } from './rank_choice.js';
import { SequenceArrivals, type ArrivalPlace } from './sequence_arrivals.js';
import { SequenceMoves, type Arrival } from './sequence_moves.js';
import type { KvReport } from '../../protocol/kv_transfer.js';
import type { Place, RunningView, Share } from './policy.js';
import {
  isComputing,
  learnOutput,
  maySkipTokens,
  numKnownTokens,
  partOf,
  startOf,
  viewOf,
  type Progress,
  type Running,
  type SequenceRequest,
} from './progress.js';
import { loadOf, type RankUse, type SchedulerLoad } from './scheduler_load.js';
import { generatedFirst, numPrefillTokensOf, withIds, withTransfers, type ScheduledPlan } from './scheduled_plan.js';
import { noCounts, type SchedulerCounts } from './scheduler_counts.js';
import type { Homeless, SchedulerEpoch, SchedulerOptions } from './scheduler_options.js';
import type { StoreNews } from '../../protocol/kv_store.js';
import type { Lift } from '../kv/lift.js';
import type { Freed } from './freed_log.js';
import { SequenceBlocks, type Lookup } from './sequence_blocks.js';
import { comingOf, runsOf, type Slot, type SlotRun } from '../kv/lift_plan.js';
import { SequenceLifts, tokensByOrigin } from './sequence_lifts.js';
import { sequenceLoads, type SequenceLoads } from './sequence_loads.js';
import type { StoredBlocks } from './blocks/stored_blocks.js';
import { outputExchanges } from './told.js';
import { waitingViewOf, WaitingQueue } from './waiting_queue.js';

export type { ScheduledPlan } from './scheduled_plan.js';
export type { SchedulerCounts } from './scheduler_counts.js';
export type { SchedulerEpoch, SchedulerLimits, SchedulerOptions } from './scheduler_options.js';
export type { ArrivalPlace } from './sequence_arrivals.js';
export type { SequenceRequest } from './progress.js';
export type { RankUse, SchedulerLoad } from './scheduler_load.js';

/** How far a sequence is. */
export interface Standing {
  readonly progress: Progress;
  /** What a rank has of it; null while it waits. */
  readonly run: Pick<Running, 'rank' | 'blocks' | 'numComputed' | 'firstDegraded'> | null;
  /** No step computes it, and none will before {@link Scheduler.resume}. */
  readonly isPaused: boolean;
}

/** What {@link Scheduler.next} did with a sequence. */
export type SchedulerMove = Extract<RequestNews, { kind: 'admitted' | 'preempted' | 'moved' | 'arrived' }>;

const NOBODY: ReadonlySet<number> = new Set();
const NOTHING_WANTED: SequenceWants = { routedExperts: false, logprobs: null, promptLogprobs: null, logits: false };

/** Ranks that one sequence may cost. */
const MAX_FAILED_RANKS = 2;

/**
 * Tokens that sequences which begin in one step have in the cache already or name in their sampling, besides those of the last one: a rank is told of
 * each, and messages have a limit.
 */
const MAX_TOLD_TOKENS = 2 ** 20;

/** Forms the plans of one step after another, and keeps what came of them. */
export class Scheduler {
  private readonly blocks: SequenceBlocks;
  private readonly waiting = new WaitingQueue();
  private readonly running = new Map<number, Running>();
  private moves: SchedulerMove[] = [];
  private step = 0;
  private epoch: number;
  private readonly counted = noCounts();
  /** Null: nothing is shared. */
  private readonly hasher: BlockHasher | null;
  /** By rank, of the step that was planned last. */
  private numPrefillTokens: readonly number[] = [];
  private takers: ReadonlySet<number>;
  private leaving: ReadonlySet<number> = NOBODY;
  /** Sequences of ranks that leave. */
  private readonly moving: SequenceMoves;
  private readonly pauses = new Pauses();
  private readonly arriving: SequenceArrivals;
  private readonly lifting: SequenceLifts;
  private readonly nowMs: () => number;
  /** Of what was looked up: asked again and again in one step. */
  private readonly runs = new WeakMap<readonly Slot[], readonly SlotRun[]>();

  constructor(private readonly options: SchedulerOptions) {
    const { numRanks, sharing, blockSize, members = Array(numRanks).keys(), epoch = 0 } = options;
    this.epoch = epoch;
    this.blocks = new SequenceBlocks(options);
    this.takers = new Set(members);
    this.blocks.seat(this.takers);
    this.moving = new SequenceMoves(this.blocks, { ...options.kv, blockSize }, (rank) => this.isWantedOn(rank));
    this.arriving = new SequenceArrivals(this.running, this.blocks);
    this.lifting = new SequenceLifts(this.running, this.blocks, blockSize);
    this.hasher = sharing && new BlockHasher(blockSize, sharing);
    this.nowMs = options.nowMs ?? ((): number => performance.now());
  }

  get counts(): SchedulerCounts {
    const { numEvicted: numEvictedBlocks, numRefusedPins, tiers } = this.blocks;
    return { ...this.counted, numEvictedBlocks, numRefusedPins, tiers: tiers.counts };
  }

  /** What waits and what runs. */
  get load(): SchedulerLoad {
    const { numKvBlocks } = this.options;
    this.unpin();
    const running = [...this.running.values()];
    const ranks = this.blocks.ranks.map((rank): RankUse => {
      const numRunning = running.filter((state) => state.rank === rank).length;
      const numUsedBlocks = this.blocks.numUsed(rank);
      const [numCachedBlocks, numPinnedBlocks] = [this.blocks.numCached(rank), this.blocks.numPinned(rank)];
      const numPrefillTokens = this.numPrefillTokens[rank] ?? 0;
      const tiers = this.blocks.tiers.of(rank)?.use ?? [];
      const blocks = { numKvBlocks, numUsedBlocks, numCachedBlocks, numPinnedBlocks, tiers };
      return { rank, numRunning, ...blocks, numPrefillTokens };
    });
    return loadOf(this.waiting.size, ranks);
  }

  /** Requests that wait. */
  get numWaiting(): number {
    return this.waiting.size;
  }

  /** Some wait for room, and nothing that runs will make any: all of it is paused. */
  get isStalled(): boolean {
    const running = [...this.running.values()];
    const isQuiet = running.length > 0 && running.every((state) => this.pauses.has(state) && isAtRest(state));
    return isQuiet && this.waiting.all.some((request) => !this.pauses.hasWaiting(request));
  }

  /** Where {@link isStalled}: what paused last gives way. Why: docs/decisions/handover.md#what-pauses-gives-way-last */
  unstall(): void {
    const last = [...this.running.values()].at(-1);
    if (this.isStalled && last !== undefined) this.preempt(last.sequence);
  }

  /** Requests that run and wait, one by one. */
  sequenceLoads(most: number): SequenceLoads {
    const running = [...this.running.values()].filter((state) => !this.pauses.isOver(state));
    return sequenceLoads(running, this.waiting.all, { most, blockSize: this.options.blockSize });
  }

  /** What ranks have that others may begin with. */
  get holdings(): LendableBlocks & Pick<SequenceBlocks, 'numHeld'> {
    return this.blocks;
  }

  /** Keys of a request's first blocks, those that others may have computed: all at once. Empty: it computes all of them. */
  firstKeysOf(request: Pick<SequenceRequest, 'promptTokenIds' | 'outputTokenIds' | 'wants'>): readonly string[] {
    const { promptTokenIds, outputTokenIds = [] } = request;
    if (this.hasher === null || !maySkipTokens(request)) return [];
    const keys = new BlockKeys(this.hasher, { promptTokenIds, outputTokenIds });
    const numKeys = Math.floor((promptTokenIds.length + outputTokenIds.length - 1) / this.options.blockSize);
    return Array.from({ length: numKeys }, (_, index) => keys.at(index));
  }

  /** Full KV blocks that sequences may begin with, for one who follows them: what they take is told to nobody else. Null: nothing is shared. */
  get storedBlocks(): StoredBlocks | null {
    return this.hasher && this.blocks.storedBlocks;
  }

  /** Requests that wait, without as many as there are ranks' seats for: negative where there would be some for others too. */
  get numQueued(): number {
    return this.waiting.size + this.running.size - this.options.maxNumSeqs * this.takers.size;
  }

  /** Has all ranks forget what is cached, unless sequences hold blocks: nothing happens then, and false is returned. */
  resetPrefixCache(): boolean {
    return this.blocks.reset();
  }

  /** Queues a request, whose tokens must fit the KV blocks of one rank: then it finishes, if need be alone. */
  add(request: SequenceRequest): void {
    this.waiting.add(this.progressOf(request));
  }

  private progressOf(request: SequenceRequest): Progress {
    const { outputTokenIds: given = [], arrives = false } = request;
    const outputTokenIds: number[] = [];
    const keys = this.hasher && new BlockKeys(this.hasher, { ...request, outputTokenIds }, request.firstKeys);
    const fresh = { numCommitted: 0, numOvertaken: 0, hasRun: false, failedRanks: [] };
    const state: Progress = { ...request, ...fresh, arrival: arrives ? 'coming' : null, keys, outputTokenIds };
    learnOutput(state, given);
    return state;
  }

  /** Where a request that comes from another instance is to have its keys and values; null: it waits for room, or nothing comes of it any more. */
  placeOf(sequence: number): ArrivalPlace | null {
    return this.arriving.placeOf(sequence);
  }

  /** So much of the output of a request that comes is known; it may come to wait again for room. */
  learn(sequence: number, outputTokenIds: readonly number[]): void {
    const waiting = this.waiting.find(sequence);
    if (waiting !== undefined) learnOutput(waiting, outputTokenIds);
    else if (!this.arriving.learn(sequence, outputTokenIds)) this.preempt(sequence);
  }

  /** As {@link SequenceArrivals.land}, where it has a place. */
  land(sequence: number, numTokens: number, numExact: number): void {
    this.arriving.land(sequence, numTokens, numExact);
  }

  /** Nothing more comes of a request: it goes on with the next step, behind what is there. One that waits is computed anew. */
  endArrival(sequence: number): void {
    this.arriving.end(sequence);
    const waiting = this.waiting.find(sequence);
    if (waiting !== undefined) waiting.arrival = null;
  }

  /**
   * A new epoch. The sequences of ranks that are gone wait again, before all others, to be computed anew elsewhere: what was committed of them stays.
   * One that fails two ranks without a step between that takes it further is over. No step may be running any more.
   */
  enter({ epoch, present, takers, leaving, failed = [], gone = [], hasAbandoned }: SchedulerEpoch): Homeless {
    this.epoch = epoch;
    this.takers = takers;
    this.leaving = new Set([...leaving].filter((rank) => !takers.has(rank)));
    this.moving.clear();
    this.blocks.tiers.forget(gone);
    this.blocks.seat(present);
    const homeless = [...this.running.values()].filter(({ rank }) => !present.has(rank));
    for (const state of homeless) {
      const { sequence, rank, failedRanks } = state;
      this.running.delete(sequence);
      if (failed.includes(rank) && isComputing(state)) failedRanks.push(rank);
    }
    // A state went on in a step that was abandoned. Why: docs/decisions/states.md#a-loss-sends-every-sequence-back-to-a-state-that-was-kept
    const stateful = hasAbandoned && this.options.states ? [...this.running.values()] : [];
    for (const state of stateful) this.giveBack(state);
    // What comes goes where it may stay.
    const coming = [...this.running.values()].filter(
      (each) => (each.arrival === 'coming' || each.lift !== null) && this.leaving.has(each.rank),
    );
    for (const state of coming) this.giveBack(state);
    const again = coming.filter((state) => !this.forget(state));
    for (const state of this.running.values()) if (state.arrival === null && state.lift === null) this.goBack(state);
    const isOver = ({ failedRanks }: Progress): boolean => failedRanks.length >= MAX_FAILED_RANKS;
    const others = [...homeless.filter((state) => !isOver(state)), ...stateful].filter((state) => !this.forget(state));
    this.waiting.addAgain([...others, ...again]);
    for (const state of others) if (state.arrival === 'there') state.arrival = null;
    const over = homeless.filter(isOver).map(({ sequence, failedRanks }) => ({ sequence, ranks: failedRanks }));
    return { numRequeued: others.filter(({ arrival }) => arrival === null).length, failed: over };
  }

  /** Whether no sequence runs on a rank. */
  isDrained(rank: number): boolean {
    return [...this.running.values()].every((state) => state.rank !== rank);
  }

  /** Sequences are to move, or do: what comes next follows from what the last step brought. */
  get isMoving(): boolean {
    return [...this.leaving].some((rank) => !this.isDrained(rank));
  }

  /**
   * One plan per seat, all with the same step number, empty where nobody sits; null when there is nothing to compute before a step is committed that
   * runs now, or nothing at all, unless a step `isNeeded` all the same. Steps are committed in the order in which they were planned.
   */
  next({ isNeeded = false }: { readonly isNeeded?: boolean } = {}): ScheduledPlan[] | null {
    this.step++;
    this.unpin();
    if (this.isMoving) this.move();
    this.takeArrived();
    this.takeLifted();
    this.admit();
    const computed = Array.from({ length: this.options.numRanks }, (_, rank) => this.planFor(rank));
    const plans = withTransfers(computed, this.moving.transfersOf(this.step));
    if (!isNeeded && plans.every(({ parts, kv }) => parts.length === 0 && kv === undefined)) {
      this.step--;
      return null;
    }
    this.numPrefillTokens = plans.map(numPrefillTokensOf);
    const { told, maxNumBatchedTokens } = this.options;
    const sizes = { numTopk: told.numTopk, maxNumBatchedTokens };
    const outputs = outputExchanges(plans, (sequence) => this.running.get(sequence)!, sizes);
    return outputs === undefined ? plans : plans.map((plan) => ({ ...plan, outputs }));
  }

  /**
   * What counts of a step, before it is committed: sequences that ended or gave way while it ran are left out, and every token has its id. Which
   * of `outputs`, one per part, stays is said by what is returned.
   */
  settle<Plan extends ScheduledPlan, Output>(
    plan: Plan,
    outputs: readonly Output[],
  ): { readonly plan: Plan; readonly outputs: readonly Output[] } {
    const isOver = ({ sequence }: PlanPart): boolean => (this.running.get(sequence)?.firstStep ?? Infinity) > plan.step;
    const parts = plan.parts.filter((part) => !isOver(part)).map((part) => withIds(part, this.running));
    return { plan: { ...plan, parts }, outputs: outputs.filter((_, i) => !isOver(plan.parts[i]!)) };
  }

  /** What ranks are to forget since the last call, and do with their tiers: they must hear of it before the plans that {@link next} returned last. */
  takeFreed(): readonly Freed[] {
    return this.blocks.takeFreed();
  }

  /** Which sequences were admitted and which gave way since the last call, in this order. */
  takeMoves(): readonly SchedulerMove[] {
    const { moves } = this;
    this.moves = [];
    return moves;
  }

  /** Takes note of what a step computed, an output per part: the parts' tokens are in the cache, and a sampled token goes on. Of what {@link settle} left. */
  commit({ parts }: ScheduledPlan, outputs: readonly Pick<SequenceOutput, 'tokenId' | 'degraded'>[]): void {
    for (const [i, { sequence, position, tokenIds }] of parts.entries()) {
      const state = this.running.get(sequence);
      if (state === undefined) continue; // cancelled while the step ran
      const { tokenId, degraded } = outputs[i]!;
      if (position === state.numShared && !state.hasMoved) this.counted.numSharedTokens += state.numShared;
      state.numComputed = position + tokenIds.length;
      if (state.numComputed > state.numCommitted) state.failedRanks.length = 0;
      state.numCommitted = Math.max(state.numCommitted, state.numComputed);
      state.firstDegraded = Math.min(state.firstDegraded, degraded?.[0] ?? Infinity);
      this.blocks.seal(state, position, this.isWantedOn(state.rank));
      if (tokenId !== null) state.outputTokenIds.push(tokenId);
    }
  }

  /** Takes note of what moved beside a step, as its ranks report it: what can't move waits, and is computed anew. After {@link commit} of its plans. */
  arrive(step: number, reports: readonly (KvReport | undefined)[]): void {
    for (const sequence of this.moving.arrive(step, reports)) this.preempt(sequence);
  }

  /** No step computes a sequence any further once it has so many tokens of output: what runs of it goes on, and its blocks are held while there are enough. */
  pause(sequence: number, numOutputTokens: number): void {
    this.pauses.add(sequence, numOutputTokens);
  }

  /** A paused sequence goes on. */
  resume(sequence: number): void {
    this.pauses.remove(sequence);
  }

  /** A request is over of which no step computes anything; its blocks are held until {@link finish}, while there are enough. */
  hold(sequence: number): void {
    this.pauses.end(sequence);
  }

  /**
   * Has blocks come that another instance lent, for whoever asks next: on a rank that has room, held until {@link finish}, while there are enough. Nothing of them is
   * ever computed. False: there is no room, or all of them are there.
   */
  bring(sequence: number, firstKeys: readonly string[], loan: HeldLoan): boolean {
    const promptTokenIds = new Array<number>(firstKeys.length * this.options.blockSize + 1).fill(0); // as many; which, the keys know
    const asked = { sequence, promptTokenIds, maxNewTokens: 0, sampling: GREEDY, wants: NOTHING_WANTED, loan };
    const request = this.progressOf({ ...asked, firstKeys });
    const place = bestPlace(this.placesOf(request, this.crowds()));
    if (place === null) return false;
    this.pauses.end(sequence);
    if (this.begin({ ...request, hasRun: true }, place.rank).lift !== null) return true;
    this.finish(sequence);
    return false;
  }

  /** What is to come of sequences from outside of their ranks' caches: another object each time that one is admitted. */
  get lifts(): ReadonlyMap<number, Lift> {
    return this.lifting.all;
  }

  /** So many blocks of a lift are there, and nothing more comes: its sequence begins with the next step, behind what is there. */
  endLift(sequence: number, numBlocks: number): void {
    this.lifting.land(sequence, numBlocks);
  }

  /** A rank says what its tiers have, or don't. */
  hearStore(rank: number, news: StoreNews): void {
    this.blocks.tiers.hear(rank, news);
  }

  /** Null: it is over, and holds nothing. */
  standingOf(sequence: number): Standing | null {
    const run = this.running.get(sequence) ?? null;
    const progress = run ?? this.waiting.find(sequence);
    if (progress === undefined) return null;
    const isHeld = run === null ? this.pauses.hasWaiting(progress) : this.pauses.has(run) && isAtRest(run);
    return { progress, run, isPaused: isHeld && progress.arrival === null };
  }

  /** Ends a sequence and takes its blocks back. */
  finish(sequence: number): void {
    this.pauses.remove(sequence);
    this.moving.drop(sequence);
    const state = this.running.get(sequence);
    if (state === undefined) return this.waiting.remove(sequence);
    const pinMs = Math.min(state.pinMs ?? 0, this.options.maxPinMs ?? Infinity);
    if (pinMs > 0) this.blocks.pin(state, this.nowMs() + pinMs);
    this.giveBack(state);
  }

  private unpin(): void {
    this.blocks.unpin(this.nowMs());
  }

  /** KV blocks that no sequence holds, on all ranks that are left, cached ones too. */
  get numFreeBlocks(): number {
    return this.blocks.ranks.reduce((sum, rank) => sum + this.blocks.numAvailable(rank, true), 0);
  }

  /** Sequences of ranks that leave go where one that waits would, before those; what goes beside the next step is decided. */
  private move(): void {
    const crowds = this.crowds();
    for (const state of this.running.values()) {
      // Until it goes to another instance, or all is there that comes.
      const isHere = this.pauses.has(state) || state.arrival !== null || state.lift !== null;
      if (isHere) this.moving.drop(state.sequence);
      if (isHere || !this.leaving.has(state.rank) || this.moving.has(state.sequence) || isComputing(state)) continue;
      const place = bestPlace(this.placesOf(state, crowds));
      if (place === null) continue; // until there is room
      crowds.join(this.moving.begin(state, place.rank));
    }
    this.moving.plan(this.step);
    for (const arrival of this.moving.takeArrived(MAX_TOLD_TOKENS)) {
      const { state, to, numTokens } = arrival;
      const { sequence, rank: from } = state;
      this.goOn(arrival);
      this.blocks.end(state);
      this.counted.numMoved++;
      this.counted.numMovedTokens += numTokens;
      this.moves.push({ kind: 'moved', sequence, from, rank: to, numTokens });
    }
  }

  /** Sequences of other instances go on of which all is there that comes. */
  private takeArrived(): void {
    for (const arrival of this.arriving.takeArrived(MAX_TOLD_TOKENS)) {
      const { state, to: rank, numTokens } = arrival;
      const { sequence, numShared } = state;
      this.goOn(arrival);
      this.counted.numSharedTokens += numShared;
      const numCame = numTokens - numShared;
      if (numCame > 0) this.counted.numArrived++;
      this.counted.numArrivedTokens += numCame;
      this.moves.push({ kind: 'arrived', sequence, rank, numTokens: numCame });
    }
  }

  /** Sequences begin of which all is there that comes from elsewhere. */
  private takeLifted(): void {
    for (const state of this.lifting.takeThere(MAX_TOLD_TOKENS)) {
      const numTokens = state.lift!.numThere! * this.options.blockSize;
      const known = { numShared: numTokens, numComputed: numTokens, numPlanned: numTokens };
      this.running.set(state.sequence, { ...state, ...known, lift: null, firstStep: this.step });
      this.tellAdmitted(state, numTokens);
    }
  }

  private tellAdmitted({ sequence, rank, promptTokenIds }: Running, numTokens: number): void {
    const numCachedTokens = Math.min(numTokens, promptTokenIds.length);
    this.moves.push({ kind: 'admitted', sequence, rank, numCachedTokens });
  }

  /** A sequence goes on where its blocks are. */
  private goOn({ state, to, blocks, numTokens }: Arrival): void {
    const { sequence, outputTokenIds } = state;
    this.running.set(sequence, {
      ...{ ...state, rank: to, blocks, hasMoved: true, arrival: null },
      ...{ numShared: numTokens, numComputed: numTokens, numPlanned: numTokens },
      ...{ numSampled: outputTokenIds.length, firstStep: this.step, hasBegun: false, keeps: [], ownKeep: null },
    });
  }

  private crowds(): Crowds {
    return new Crowds(this.options, [...this.running.values(), ...this.moving.arriving()]);
  }

  private admit(): void {
    const { policy } = this.options;
    if (this.waiting.size === 0) return;
    const crowds = this.crowds();
    let numTold = 0;
    while (numTold < MAX_TOLD_TOKENS) {
      const ready = this.waiting.all.filter((request) => !this.pauses.hasWaiting(request));
      if (ready.length === 0) return;
      const admission = policy.admit(ready.map(waitingViewOf), (sequence) =>
        this.placesOf(this.waiting.find(sequence)!, crowds),
      );
      if (admission === null) return;
      const request = this.waiting.find(admission.sequence)!;
      const begun = this.begin(request, admission.rank);
      this.waiting.admit(request);
      crowds.join(begun);
      numTold += begun.numShared + numListed(begun.sampling);
    }
  }

  /** Has a rank run a request from now on, behind what it holds of its tokens. */
  private begin(request: Progress, rank: number): Running {
    const { sequence } = request;
    const found = this.lookup(rank, request, 'numWorth');
    const isCounted = isLookedUp(request);
    if (isCounted) this.countLookup(request, found);
    if (!comingOf(found.slots).some(([, { source }]) => source.kind === 'loan')) request.loan?.close();
    const { blocks, lift } = this.lifting.begin(rank, found, { isWanted: this.isWantedOn(rank), isCounted });
    const numShared = found.blocks.length * this.options.blockSize;
    const state: Running = {
      ...{
        ...request,
        hasRun: true,
        hasMoved: false,
        rank,
        blocks,
        lift,
        numShared,
        numComputed: numShared,
        numPlanned: numShared,
      },
      ...{ numSampled: request.outputTokenIds.length, firstStep: this.step },
      ...{ firstDegraded: Infinity, hasBegun: false, keeps: [], ownKeep: null },
    };
    this.running.set(sequence, state);
    if (state.arrival !== null) this.arriving.begin(state);
    if (lift === null && !this.pauses.isOver(state)) this.tellAdmitted(state, numShared);
    return state;
  }

  /** What comes from another instance isn't looked for elsewhere, and what is computed sooner isn't brought. */
  private lookup(rank: number, request: Progress, how: 'numWorth' | 'numCheaper'): Lookup {
    const found = this.blocks.lookup(rank, request);
    if (found.slots.length === 0) return found;
    const slots = request.arrival === null ? this.worthwhile(found.slots, request, how) : [];
    return { ...found, slots: slots.some(({ kind }) => kind === 'coming') ? slots : [] };
  }

  /** Why: docs/decisions/kv_store.md#brought-or-computed */
  private worthwhile(slots: readonly Slot[], request: Progress, how: 'numWorth' | 'numCheaper'): readonly Slot[] {
    const { blockSize, costs } = this.options;
    const runs = this.runs.get(slots) ?? runsOf(slots);
    this.runs.set(slots, runs);
    const [first] = runs;
    if (first === undefined || costs === undefined || this.pauses.isOver(request)) return slots;
    const parts = runs.map(({ numSlots, numbers }) => ({ blocks: numbers, numTokens: numSlots * blockSize }));
    const numBehind = numKnownTokens(request) - slots.length * blockSize;
    const numParts = costs[how](parts, first.first * blockSize, numBehind);
    return numParts < runs.length ? slots.slice(0, runs[numParts]!.first) : slots;
  }

  private countLookup({ promptTokenIds: { length }, loan = null }: Progress, { blocks, slots }: Lookup): void {
    const { blockSize } = this.options;
    const numFound = Math.min(blocks.length * blockSize, length);
    this.counted.numPrefixQueries += length;
    this.counted.numPrefixHits += numFound;
    const numFrom = tokensByOrigin(comingOf(slots), blockSize, length);
    this.blocks.countLookup(length - numFound, numFrom, loan !== null);
  }

  private placesOf(request: Progress, crowds: Crowds): Place[] {
    const { maxNumSeqs } = this.options;
    const ranks = this.blocks.ranks.filter(
      (rank) => this.takers.has(rank) && crowds.of(rank).numSequences < maxNumSeqs,
    );
    return ranks.map((rank) => crowds.placeOf(rank, request, this.blocks, this.lookup(rank, request, 'numCheaper')));
  }

  private planFor(rank: number): ScheduledPlan {
    const { blockSize } = this.options;
    const begin: SequenceStart[] = [];
    const parts: PlanPart[] = [];
    for (const { sequence, numTokens } of this.sharesFor(rank)) {
      const state = this.running.get(sequence)!;
      this.blocks.grow(state, state.numPlanned + numTokens);
      const part = partOf(state, numTokens, blockSize);
      const keeps = this.blocks.planKeeps(state, state.numPlanned + numTokens, this.isWantedOn(rank));
      parts.push(keeps.length === 0 ? part : { ...part, keeps });
      // A step that was abandoned told a rank of the sequence already; telling it again changes nothing.
      if (state.numPlanned === state.numShared) begin.push(startOf(state, blockSize));
      state.hasBegun = true;
      state.numPlanned += numTokens;
      if (part.sample) state.numSampled++;
    }
    return { step: this.step, epoch: this.epoch, begin, parts: generatedFirst(parts) };
  }

  /** What a rank computes; sequences give way until there are blocks for it: first what comes from elsewhere, what pauses last. One alone has enough. Why: docs/decisions/handover.md#what-pauses-gives-way-last */
  private sharesFor(rank: number): readonly Share[] {
    const { policy, maxNumBatchedTokens: numTokens, maxToldBytes: numBytes, told } = this.options;
    const view = (state: Running): RunningView => viewOf(state, told);
    for (;;) {
      const own = [...this.running.values()].filter((state) => state.rank === rank);
      const busy = own.filter((state) => !this.pauses.has(state) && state.arrival !== 'coming' && state.lift === null);
      const ready = busy.filter(({ sequence, arrival }) => arrival === null && !this.moving.isPaused(sequence));
      const shares = policy.plan(apart(ready).map(view), { numTokens, numBytes });
      if (shares.length === 0 || this.numLacking(shares) <= this.blocks.numAvailable(rank, busy.length === 1))
        return shares;
      if (this.moving.dropLastTo(rank)) continue;
      const coming = this.arriving.lastTo(rank) ?? this.lifting.lastOn(rank);
      if (coming !== null) this.preempt(coming);
      else if (busy.length > 1) this.preempt(policy.preempt(busy.map(view)));
      else this.preempt(own.findLast((state) => this.pauses.has(state))!.sequence);
    }
  }

  private numLacking(shares: readonly Share[]): number {
    return shares.reduce((sum, { sequence, numTokens }) => {
      const { blocks, numPlanned } = this.running.get(sequence)!;
      return sum + this.blocks.numLacking(blocks.length, numPlanned + numTokens);
    }, 0);
  }

  /** Whether sequences of a rank that no step computed yet begin from the state of a block. */
  private isWantedOn(rank: number): (block: number) => boolean {
    const { blockSize } = this.options;
    const isBeginning = (state: Running): boolean => state.rank === rank && state.numComputed === state.numShared;
    return (block) =>
      this.moving.wants(rank, block) ||
      [...this.running.values()].some(
        (each) =>
          isBeginning(each) &&
          (each.blocks[each.numShared / blockSize - 1] === block ||
            (each.lift !== null && each.blocks.includes(block))),
      );
  }

  /** Ends a sequence's run, and takes its blocks back. */
  private giveBack(state: Running): void {
    this.running.delete(state.sequence);
    this.lifting.cancel(state);
    this.blocks.end(state);
  }

  /** False: the request isn't over, so that there is more to it than its blocks were. */
  private forget({ sequence }: Running): boolean {
    const isOver = this.pauses.isOver({ sequence });
    if (isOver) this.pauses.remove(sequence);
    return isOver;
  }

  /** To where a sequence stood before the steps that were abandoned. */
  private goBack(state: Running): void {
    state.numPlanned = state.numComputed;
    state.numSampled = state.outputTokenIds.length;
    this.blocks.shrink(state);
  }

  /** A sequence waits before all others; what was committed of it stays, and is computed anew. */
  private preempt(sequence: number): void {
    const state = this.running.get(sequence)!;
    this.moving.drop(sequence);
    this.giveBack(state);
    if (this.forget(state)) return;
    if (state.arrival === 'there') state.arrival = null; // nothing is left where it came from
    this.waiting.addAgain([state]);
    this.counted.numPreempted++;
    if (state.lift === null) this.moves.push({ kind: 'preempted', sequence, rank: state.rank }); // it was told that it runs
  }
}

/** Its first run counts, where others may have computed what it asks for. */
const isLookedUp = (request: Progress): boolean => !request.hasRun && request.keys !== null && maySkipTokens(request);

/** Sequences that failed a rank come one at a time: should the next one fail too, the others are not held responsible. */
function apart(own: readonly Running[]): readonly Running[] {
  const suspect = own.find(({ failedRanks }) => failedRanks.length > 0);
  return own.filter((state) => state === suspect || state.failedRanks.length === 0);
}

/** Nothing of it is on its way, in steps that run or from elsewhere. */
const isAtRest = (state: Running): boolean => !isComputing(state) && state.lift === null;

const numListed = ({ logitBias, allowedTokenIds }: SequenceRequest['sampling']): number =>
  logitBias.length + (allowedTokenIds?.length ?? 0);
