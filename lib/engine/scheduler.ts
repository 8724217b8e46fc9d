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

interface Running extends SequenceRequest {
  readonly rank: number;
  readonly blocks: readonly number[];
  readonly outputTokenIds: number[];
  /** Tokens in the KV cache. */
  numComputed: number;
  hasBegun: boolean;
}

export class Scheduler {
  private readonly limits: SchedulerLimits;
  private readonly pools: readonly BlockPool[];
  private readonly waiting: SequenceRequest[] = [];
  private readonly running = new Map<number, Running>();
  private step = 0;

  constructor(limits: SchedulerLimits) {
    this.limits = limits;
    this.pools = Array.from({ length: limits.numRanks }, () => new BlockPool(limits.numKvBlocks));
  }

  /** Most tokens that a sequence can have. */
  get maxSequenceTokens(): number {
    return this.limits.numKvBlocks * this.limits.blockSize;
  }

  add(request: SequenceRequest): void {
    this.waiting.push(request);
  }

  /** One plan per rank, all with the same step number; null when there is nothing to compute. */
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
    this.pools[state.rank]!.give(state.blocks);
    return state.hasBegun ? state.rank : null;
  }

  /** Whether the whole prompt is in the cache. */
  isPrefilled(sequence: number): boolean {
    const state = this.running.get(sequence);
    return state !== undefined && state.numComputed >= state.promptTokenIds.length;
  }

  get numFreeBlocks(): number {
    return this.pools.reduce((total, pool) => total + pool.numFree, 0);
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
      const state = { ...request, rank, blocks, outputTokenIds: [], numComputed: 0, hasBegun: false };
      this.running.set(request.sequence, state);
    }
  }

  /** The rank with the fewest sequences, then the fewest reserved blocks, that has room; null if none has. */
  private lightestRank(numBlocks: number): number | null {
    const numSeqs = this.pools.map(() => 0);
    for (const { rank } of this.running.values()) numSeqs[rank]!++;
    let best: number | null = null;
    this.pools.forEach((pool, rank) => {
      if (numSeqs[rank]! >= this.limits.maxNumSeqs || pool.numFree < numBlocks) return;
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
      if (budget === 0 || state.outputTokenIds.length === 0) continue;
      parts.push(decodePart(state));
      budget--;
    }
    // 2. Prompts, in chunks of what is left.
    for (const state of own) {
      const numLeft = state.promptTokenIds.length - state.numComputed;
      const most = Math.min(numLeft, budget, state.wants.logits ? logitBudget : Infinity);
      if (most <= 0) continue;
      const part = prefillPart(state, most);
      if (state.wants.logits) logitBudget -= most;
      parts.push(part);
      budget -= part.tokenIds.length;
      if (!state.hasBegun) begin.push(startOf(state));
      state.hasBegun = true;
    }
    return { step: this.step, epoch: 0, begin, parts };
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
});

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
  };
}
