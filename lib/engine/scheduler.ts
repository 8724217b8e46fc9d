/**
 * Which tokens the next step computes, and where: pure bookkeeping, no I/O.
 * A step takes the generated tokens of all running sequences first, then chunks of prompts, up to the token budget of each rank.
 */
import { BlockPool } from './block_pool.js';
import type { SamplingParams } from './sampler.js';
import type { PlanPart, SequenceStart, SequenceWants, StepPlan } from './step_plan.js';

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

export interface SequenceRequest {
  readonly sequence: number;
  readonly promptTokenIds: readonly number[];
  /** 0: only score the prompt. */
  readonly maxNewTokens: number;
  readonly sampling: SamplingParams;
  readonly wants: SequenceWants;
}

/** A request and what came of it. */
interface Progress extends SequenceRequest {
  readonly outputTokenIds: number[];
  /** Tokens whose outputs were committed; more than `numComputed` after the sequence's rank was lost. */
  numCommitted: number;
}

interface Running extends Progress {
  readonly rank: number;
  readonly blocks: readonly number[];
  /** Tokens in the KV cache. */
  numComputed: number;
  /** Its rank knows it. */
  hasBegun: boolean;
}

export class Scheduler {
  private readonly limits: SchedulerLimits;
  /** By rank; null for one that was lost. */
  private readonly pools: (BlockPool | null)[];
  private readonly waiting: Progress[] = [];
  private readonly running = new Map<number, Running>();
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
    this.waiting.push({ ...request, outputTokenIds: [], numCommitted: 0 });
  }

  /**
   * A new epoch without these ranks. Their sequences wait again, before all others, to be computed anew elsewhere: what was committed of them
   * stays. Returns how many they are. No step may be running.
   */
  lose(ranks: readonly number[], epoch: number): number {
    this.epoch = epoch;
    for (const rank of ranks) this.pools[rank] = null;
    const homeless = [...this.running.values()].filter(({ rank }) => ranks.includes(rank));
    for (const { sequence } of homeless) this.running.delete(sequence);
    this.waiting.unshift(...homeless);
    return homeless.length;
  }

  /** One plan per rank, all with the same step number, empty for a lost rank; null when there is nothing to compute. */
  next(): StepPlan[] | null {
    this.admit();
    if (this.running.size === 0) return null;
    this.step++;
    return this.pools.map((_, rank) => this.planFor(rank));
  }

  /** Takes note of what a step computed: the parts' tokens are in the cache, and a sampled token goes on. */
  commit(plan: StepPlan, sampled: ReadonlyMap<number, number>): void {
    for (const part of plan.parts) {
      const state = this.running.get(part.sequence);
      if (state === undefined) continue; // cancelled while the step ran
      state.numComputed = part.position + part.tokenIds.length;
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

  private planFor(rank: number): StepPlan {
    const own = [...this.running.values()].filter((state) => state.rank === rank);
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
      const numLeft = (isReplay ? state.numCommitted : state.promptTokenIds.length) - state.numComputed;
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
    return { step: this.step, epoch: this.epoch, begin, parts };
  }
}

const startOf = ({ sequence, blocks, sampling, wants }: Running): SequenceStart => ({
  sequence,
  blocks,
  sampling,
  wants,
});

const decodePart = (state: Running): PlanPart => ({
  sequence: state.sequence,
  tokenIds: [state.outputTokenIds.at(-1)!],
  position: state.numComputed,
  isPrompt: false,
  sample: true,
  nextPromptToken: null,
  isReplay: false,
});

const isReplaying = ({ numComputed, numCommitted }: Running): boolean => numComputed < numCommitted;

function replayPart(state: Running, numTokens: number): PlanPart {
  const { sequence, promptTokenIds, outputTokenIds, numComputed: position } = state;
  const tokenIds = [...promptTokenIds, ...outputTokenIds].slice(position, position + numTokens);
  return { sequence, tokenIds, position, isPrompt: true, sample: false, nextPromptToken: null, isReplay: true };
}

function prefillPart(state: Running, numTokens: number): PlanPart {
  const end = state.numComputed + numTokens;
  const isLast = end === state.promptTokenIds.length;
  return {
    sequence: state.sequence,
    tokenIds: state.promptTokenIds.slice(state.numComputed, end),
    position: state.numComputed,
    isPrompt: true,
    sample: isLast && state.maxNewTokens > 0,
    nextPromptToken: state.promptTokenIds[end] ?? null,
    isReplay: false,
  };
}
