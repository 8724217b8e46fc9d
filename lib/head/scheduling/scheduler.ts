/**
 * Which tokens the next step computes, and where: pure bookkeeping, no I/O.
 * A step takes the generated tokens of all running sequences first, then chunks of prompts, up to the token budget of each rank.
 */
import { BlockPool } from './block_pool.js';
import {
  decodePart,
  isReplaying,
  numLeftToReplay,
  prefillPart,
  replayPart,
  startOf,
  type Progress,
  type Running,
  type SequenceRequest,
} from './progress.js';
import type { PlanPart, SequenceStart, StepPlan } from '../../protocol/step_plan.js';

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

/** What a loss does to the sequences of the lost ranks. */
export interface Homeless {
  /** Sequences that wait to be computed anew. */
  readonly numRequeued: number;
  /** Those that two ranks failed at, one after the other: they are over, and these are the ranks. */
  readonly failed: readonly { readonly sequence: number; readonly ranks: readonly number[] }[];
}

/** Ranks that one sequence may cost. */
const MAX_FAILED_RANKS = 2;

export class Scheduler {
  private readonly limits: SchedulerLimits;
  /** By rank; null for one that was lost. */
  private readonly pools: (BlockPool | null)[];
  private readonly waiting: Progress[] = [];
  private readonly running = new Map<number, Running>();
  /** Sequences of the step that runs. */
  private readonly computing = new Set<number>();
  private step = 0;
  private epoch = 0;

  constructor(limits: SchedulerLimits) {
    this.limits = limits;
    this.pools = Array.from({ length: limits.numRanks }, () => new BlockPool(limits.numKvBlocks));
  }

  /** Most tokens that a sequence can have. */
  get maxSequenceTokens(): number {
    return this.limits.numKvBlocks * this.limits.blockSize;
  }

  add(request: SequenceRequest): void {
    this.waiting.push({ ...request, outputTokenIds: [], numCommitted: 0, failedRanks: [] });
  }

  /**
   * A new epoch without these ranks. Their sequences wait again, before all others, to be computed anew elsewhere: what was committed of them
   * stays. `failed`: those of them whose end may be the doing of what they computed; a sequence that fails two ranks without a step between that
   * takes it further is over. No step may be running any more.
   */
  lose(ranks: readonly number[], epoch: number, failed: readonly number[] = []): Homeless {
    this.epoch = epoch;
    for (const rank of ranks) this.pools[rank] = null;
    const homeless = [...this.running.values()].filter(({ rank }) => ranks.includes(rank));
    for (const { sequence, rank, failedRanks } of homeless) {
      this.running.delete(sequence);
      if (failed.includes(rank) && this.computing.has(sequence)) failedRanks.push(rank);
    }
    this.computing.clear();
    const isOver = ({ failedRanks }: Progress): boolean => failedRanks.length >= MAX_FAILED_RANKS;
    const others = homeless.filter((state) => !isOver(state));
    this.waiting.unshift(...others);
    const over = homeless.filter(isOver).map(({ sequence, failedRanks }) => ({ sequence, ranks: failedRanks }));
    return { numRequeued: others.length, failed: over };
  }

  /** One plan per rank, all with the same step number, empty for a lost rank; null when there is nothing to compute. */
  next(): ScheduledPlan[] | null {
    this.admit();
    if (this.running.size === 0) return null;
    this.step++;
    const plans = this.pools.map((_, rank) => this.planFor(rank));
    this.computing.clear();
    for (const { parts } of plans) for (const { sequence } of parts) this.computing.add(sequence);
    return plans;
  }

  /** Takes note of what a step computed: the parts' tokens are in the cache, and a sampled token goes on. */
  commit(plan: ScheduledPlan, sampled: ReadonlyMap<number, number>): void {
    for (const part of plan.parts) {
      this.computing.delete(part.sequence);
      const state = this.running.get(part.sequence);
      if (state === undefined) continue; // cancelled while the step ran
      state.numComputed = part.position + part.tokenIds.length;
      if (state.numComputed > state.numCommitted) state.failedRanks.length = 0;
      state.numCommitted = Math.max(state.numCommitted, state.numComputed);
      const token = sampled.get(part.sequence);
      if (token !== undefined) state.outputTokenIds.push(token);
    }
  }

  /** Ends a sequence and takes its blocks back; returns its rank, or null where it never began. */
  finish(sequence: number): number | null {
    const index = this.waiting.findIndex((request) => request.sequence === sequence);
    if (index >= 0) this.waiting.splice(index, 1);
    const state = this.running.get(sequence);
    if (state === undefined) return null;
    this.running.delete(sequence);
    this.pools[state.rank]?.give(state.blocks);
    return state.hasBegun ? state.rank : null;
  }

  /** Whether the whole prompt is in the cache. */
  isPrefilled(sequence: number): boolean {
    const state = this.running.get(sequence);
    return state !== undefined && state.numComputed >= state.promptTokenIds.length;
  }

  get numFreeBlocks(): number {
    return this.pools.reduce((total, pool) => total + (pool?.numFree ?? 0), 0);
  }

  /** First come, first served: a request that finds no room keeps those behind it waiting, so that none starves. */
  private admit(): void {
    for (let request = this.waiting[0]; request !== undefined; request = this.waiting[0]) {
      // Blocks for the longest possible output, so that a running sequence never has to give way.
      const numTokens = request.promptTokenIds.length + Math.max(request.maxNewTokens - 1, 0);
      const rank = this.lightestRank(Math.ceil(numTokens / this.limits.blockSize));
      if (rank === null) return;
      const blocks = this.pools[rank]!.take(Math.ceil(numTokens / this.limits.blockSize))!;
      this.waiting.shift();
      this.running.set(request.sequence, { ...request, rank, blocks, numComputed: 0, hasBegun: false });
    }
  }

  /** The rank with the fewest sequences, then the fewest reserved blocks, that has room; null if none has. */
  private lightestRank(numBlocks: number): number | null {
    const numSeqs = this.pools.map(() => 0);
    for (const { rank } of this.running.values()) numSeqs[rank]!++;
    let best: number | null = null;
    this.pools.forEach((pool, rank) => {
      if (pool === null || numSeqs[rank]! >= this.limits.maxNumSeqs || pool.numFree < numBlocks) return;
      if (best === null || numSeqs[rank]! < numSeqs[best]!) best = rank;
      else if (numSeqs[rank] === numSeqs[best] && pool.numFree > this.pools[best]!.numFree) best = rank;
    });
    return best;
  }

  private planFor(rank: number): ScheduledPlan {
    const own = apart([...this.running.values()].filter((state) => state.rank === rank));
    const parts: PlanPart[] = [];
    const begin: SequenceStart[] = [];
    let budget = this.limits.maxNumBatchedTokens;
    let logitBudget = this.limits.maxLogitTokens;
    // 1. Generated tokens: one each.
    for (const state of own) {
      if (budget === 0 || isReplaying(state) || state.outputTokenIds.length === 0) continue;
      parts.push(decodePart(state));
      budget--;
    }
    // 2. Prompts, and what a lost rank had in its cache, in chunks of what is left.
    for (const state of own) {
      const isReplay = isReplaying(state);
      const numLeft = isReplay ? numLeftToReplay(state) : state.promptTokenIds.length - state.numComputed;
      const isCounted = state.wants.logits && !isReplay;
      const most = Math.min(numLeft, budget, isCounted ? logitBudget : Infinity);
      if (most <= 0) continue;
      if (isCounted) logitBudget -= most;
      parts.push(isReplay ? replayPart(state, most) : prefillPart(state, most));
      budget -= most;
      // A step that was abandoned told a rank of the sequence already; telling it again changes nothing.
      if (state.numComputed === 0) begin.push(startOf(state));
      state.hasBegun = true;
    }
    return { step: this.step, epoch: this.epoch, begin, parts: generatedFirst(parts) };
  }
}

/** Sequences that failed a rank come one at a time: should the next one fail too, the others are not held responsible. */
function apart(own: readonly Running[]): readonly Running[] {
  const suspect = own.find(({ failedRanks }) => failedRanks.length > 0);
  return own.filter((state) => state === suspect || state.failedRanks.length === 0);
}

const generatedFirst = (parts: readonly PlanPart[]): PlanPart[] => [
  ...parts.filter(({ isPrompt }) => !isPrompt),
  ...parts.filter(({ isPrompt }) => isPrompt),
];
