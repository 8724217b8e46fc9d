/**
 * Which tokens the next step computes, and where: pure bookkeeping, no I/O. A {@link SchedulingPolicy} decides; this holds what it decides about:
 * who waits and runs, who holds which KV blocks, what was committed, and what becomes of it when ranks are lost.
 */
import type { RequestNews } from '../observing/request_news.js';
import {
  SAMPLED,
  type SequenceOutput,
  type SequenceStart,
  type StepPlan,
  type PlanPart,
} from '../../protocol/step_plan.js';
import { blockKeys } from './block_ledger.js';
import type { Place, SchedulingPolicy, Share } from './policy.js';
import { isComputing, partOf, startOf, viewOf, type Progress, type Running, type SequenceRequest } from './progress.js';
import { SequenceBlocks, type Freed } from './sequence_blocks.js';

/** What a rank computes in a step; which placement it computes with is not the scheduler's business. */
export type ScheduledPlan = Omit<StepPlan, 'placementVersion' | 'moveRound'>;

export type { SequenceRequest } from './progress.js';

/** Limits are per rank. */
export interface SchedulerLimits {
  readonly numRanks: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** Tokens per KV block. */
  readonly blockSize: number;
  readonly numKvBlocks: number;
  /** Tokens of one step whose logits travel to the head. */
  readonly maxLogitTokens: number;
}

/** The limits of the ranks, and what decides within them. */
export interface SchedulerOptions extends SchedulerLimits {
  readonly policy: SchedulingPolicy;
  /** Equal tokens have equal keys and values: nobody forces experts upon them. */
  readonly canSharePrefixes: boolean;
}

/** What a loss does to the sequences of the lost ranks. */
export interface Homeless {
  /** Sequences that wait to be computed anew. */
  readonly numRequeued: number;
  /** Those that two ranks failed at, one after the other: they are over, and these are the ranks. */
  readonly failed: readonly { readonly sequence: number; readonly ranks: readonly number[] }[];
}

/** Since the start. */
export interface SchedulerCounts {
  /** How often a sequence gave way because KV blocks ran out. */
  readonly numPreempted: number;
  /** Prompt tokens that were not computed, because another sequence's blocks held them; once more after each preemption or loss. */
  readonly numSharedTokens: number;
}

/** What {@link Scheduler.next} did with a sequence. */
export type SchedulerMove = Extract<RequestNews, { kind: 'admitted' | 'preempted' }>;

/** What a rank does and holds at this moment. */
export interface RankUse {
  readonly rank: number;
  readonly numRunning: number;
  readonly numKvBlocks: number;
  /** KV blocks that sequences hold. */
  readonly numUsedBlocks: number;
}

/** What a scheduler has in hand. */
export interface SchedulerLoad {
  readonly numWaiting: number;
  /** Of the ranks that are left. */
  readonly ranks: readonly RankUse[];
}

/** What runs on a rank: how many sequences, and the blocks that they lack for all tokens that there are so far. */
interface Crowd {
  readonly numSequences: number;
  readonly numAhead: number;
}

const NOBODY: Crowd = { numSequences: 0, numAhead: 0 };

/** Ranks that one sequence may cost. */
const MAX_FAILED_RANKS = 2;

/** Forms the plans of one step after another, and keeps what came of them. */
export class Scheduler {
  private readonly blocks: SequenceBlocks;
  private readonly waiting: Progress[] = [];
  private readonly running = new Map<number, Running>();
  private moves: SchedulerMove[] = [];
  private step = 0;
  private epoch = 0;
  private numPreempted = 0;
  private numSharedTokens = 0;

  constructor(private readonly options: SchedulerOptions) {
    this.blocks = new SequenceBlocks(options.numRanks, options.numKvBlocks, options.blockSize);
  }

  get counts(): SchedulerCounts {
    const { numPreempted, numSharedTokens } = this;
    return { numPreempted, numSharedTokens };
  }

  /** What waits and what runs. */
  get load(): SchedulerLoad {
    const { numKvBlocks } = this.options;
    const running = [...this.running.values()];
    const ranks = this.blocks.ranks.map((rank): RankUse => {
      const numRunning = running.filter((state) => state.rank === rank).length;
      return { rank, numRunning, numKvBlocks, numUsedBlocks: numKvBlocks - this.blocks.numFree(rank) };
    });
    return { numWaiting: this.waiting.length, ranks };
  }

  /** Queues a request, whose tokens must fit the KV blocks of one rank: then it finishes, if need be alone. */
  add(request: SequenceRequest): void {
    const { canSharePrefixes, blockSize } = this.options;
    const promptKeys = canSharePrefixes ? blockKeys(request.promptTokenIds, blockSize) : [];
    this.waiting.push({ ...request, promptKeys, outputTokenIds: [], numCommitted: 0, failedRanks: [] });
  }

  /**
   * A new epoch without these ranks. Their sequences wait again, before all others, to be computed anew elsewhere: what was committed of them
   * stays. `failed`: those of them whose end may be the doing of what they computed; a sequence that fails two ranks without a step between that
   * takes it further is over. No step may be running any more.
   */
  lose(ranks: readonly number[], epoch: number, failed: readonly number[] = []): Homeless {
    this.epoch = epoch;
    for (const rank of ranks) this.blocks.lose(rank);
    const homeless = [...this.running.values()].filter(({ rank }) => ranks.includes(rank));
    for (const state of homeless) {
      const { sequence, rank, failedRanks } = state;
      this.running.delete(sequence);
      if (failed.includes(rank) && isComputing(state)) failedRanks.push(rank);
    }
    for (const state of this.running.values()) this.goBack(state);
    const isOver = ({ failedRanks }: Progress): boolean => failedRanks.length >= MAX_FAILED_RANKS;
    const others = homeless.filter((state) => !isOver(state));
    this.waiting.unshift(...others);
    const over = homeless.filter(isOver).map(({ sequence, failedRanks }) => ({ sequence, ranks: failedRanks }));
    return { numRequeued: others.length, failed: over };
  }

  /**
   * One plan per rank, all with the same step number, empty for a lost rank; null when there is nothing to compute before a step is committed that
   * runs now, or nothing at all. Steps are committed in the order in which they were planned.
   */
  next(): ScheduledPlan[] | null {
    this.step++;
    this.admit();
    const plans = Array.from({ length: this.options.numRanks }, (_, rank) => this.planFor(rank));
    if (plans.some(({ parts }) => parts.length > 0)) return plans;
    this.step--;
    return null;
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

  /** What ranks are to forget since the last call: they must hear of it before the plans that {@link next} returned last. */
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
      if (position === state.numShared) this.numSharedTokens += state.numShared;
      state.numComputed = position + tokenIds.length;
      if (state.numComputed > state.numCommitted) state.failedRanks.length = 0;
      state.numCommitted = Math.max(state.numCommitted, state.numComputed);
      state.firstDegraded = Math.min(state.firstDegraded, degraded?.[0] ?? Infinity);
      this.blocks.seal(state, position);
      if (tokenId !== null) state.outputTokenIds.push(tokenId);
    }
  }

  /** Ends a sequence and takes its blocks back. */
  finish(sequence: number): void {
    const state = this.running.get(sequence);
    if (state !== undefined) {
      this.running.delete(sequence);
      this.blocks.end(state);
      return;
    }
    const index = this.waiting.findIndex((request) => request.sequence === sequence);
    if (index >= 0) this.waiting.splice(index, 1);
  }

  /** KV blocks that nobody holds, on all ranks that are left. */
  get numFreeBlocks(): number {
    return this.blocks.ranks.reduce((sum, rank) => sum + this.blocks.numFree(rank), 0);
  }

  private admit(): void {
    const { policy, blockSize } = this.options;
    if (this.waiting.length === 0) return;
    const crowds = this.crowds();
    while (this.waiting.length > 0) {
      const admission = policy.admit(this.waiting, (sequence) => this.placesOf(this.waitingOne(sequence), crowds));
      if (admission === null) return;
      const { sequence, rank } = admission;
      const request = this.waitingOne(sequence);
      const blocks = this.blocks.match(rank, request);
      this.blocks.share(rank, blocks);
      this.waiting.splice(this.waiting.indexOf(request), 1);
      const numShared = blocks.length * blockSize;
      const state: Running = {
        ...{ ...request, rank, blocks, numShared, numComputed: numShared, numPlanned: numShared },
        ...{ numSampled: request.outputTokenIds.length, firstStep: this.step },
        ...{ firstDegraded: Infinity, hasBegun: false },
      };
      this.running.set(sequence, state);
      this.moves.push({ kind: 'admitted', sequence, rank, numCachedTokens: numShared });
      this.join(crowds, state);
    }
  }

  private waitingOne(sequence: number): Progress {
    return this.waiting.find((request) => request.sequence === sequence)!;
  }

  private placesOf(request: Progress, crowds: ReadonlyMap<number, Crowd>): Place[] {
    const places = this.blocks.ranks.map((rank): Place => {
      const { numSequences, numAhead } = crowds.get(rank) ?? NOBODY;
      const numOwn = this.blocks.numAhead(request, this.blocks.match(rank, request).length);
      return { rank, numSequences, numFreeBlocks: this.blocks.numFree(rank) - numAhead - numOwn };
    });
    return places.filter((place) => place.numSequences < this.options.maxNumSeqs);
  }

  /** By rank. */
  private crowds(): Map<number, Crowd> {
    const crowds = new Map<number, Crowd>();
    for (const state of this.running.values()) this.join(crowds, state);
    return crowds;
  }

  private join(crowds: Map<number, Crowd>, state: Running): void {
    const { rank, blocks } = state;
    const { numSequences, numAhead } = crowds.get(rank) ?? NOBODY;
    const numOwn = this.blocks.numAhead(state, blocks.length);
    crowds.set(rank, { numSequences: numSequences + 1, numAhead: numAhead + numOwn });
  }

  private planFor(rank: number): ScheduledPlan {
    const { blockSize } = this.options;
    const begin: SequenceStart[] = [];
    const parts: PlanPart[] = [];
    for (const { sequence, numTokens } of this.sharesFor(rank)) {
      const state = this.running.get(sequence)!;
      this.blocks.grow(state, state.numPlanned + numTokens);
      const part = partOf(state, numTokens, blockSize);
      parts.push(part);
      // A step that was abandoned told a rank of the sequence already; telling it again changes nothing.
      if (state.numPlanned === state.numShared) begin.push(startOf(state, blockSize));
      state.hasBegun = true;
      state.numPlanned += numTokens;
      if (part.sample) state.numSampled++;
    }
    return { step: this.step, epoch: this.epoch, begin, parts: generatedFirst(parts) };
  }

  /** What a rank computes; sequences give way until there are blocks for it. One alone has enough. */
  private sharesFor(rank: number): readonly Share[] {
    const { policy, maxNumBatchedTokens: numTokens, maxLogitTokens: numLogitTokens } = this.options;
    for (;;) {
      const own = [...this.running.values()].filter((state) => state.rank === rank);
      const shares = policy.plan(apart(own).map(viewOf), { numTokens, numLogitTokens });
      if (shares.length === 0 || this.numLacking(shares) <= this.blocks.numFree(rank)) return shares;
      this.preempt(policy.preempt(own.map(viewOf)));
    }
  }

  private numLacking(shares: readonly Share[]): number {
    return shares.reduce((sum, { sequence, numTokens }) => {
      const { blocks, numPlanned } = this.running.get(sequence)!;
      return sum + this.blocks.numLacking(blocks.length, numPlanned + numTokens);
    }, 0);
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
    this.running.delete(sequence);
    this.blocks.end(state);
    this.waiting.unshift(state);
    this.numPreempted++;
    this.moves.push({ kind: 'preempted', sequence, rank: state.rank });
  }
}

/** Sequences that failed a rank come one at a time: should the next one fail too, the others are not held responsible. */
function apart(own: readonly Running[]): readonly Running[] {
  const suspect = own.find(({ failedRanks }) => failedRanks.length > 0);
  return own.filter((state) => state === suspect || state.failedRanks.length === 0);
}

/** A part with the token that was not known when it was planned. */
function withIds(part: PlanPart, running: ReadonlyMap<number, Running>): PlanPart {
  if (part.tokenIds[0] !== SAMPLED) return part;
  const { promptTokenIds, outputTokenIds } = running.get(part.sequence)!;
  return { ...part, tokenIds: [outputTokenIds[part.position - promptTokenIds.length]!] };
}

const generatedFirst = (parts: readonly PlanPart[]): PlanPart[] => [
  ...parts.filter(({ isPrompt }) => !isPrompt),
  ...parts.filter(({ isPrompt }) => isPrompt),
];
