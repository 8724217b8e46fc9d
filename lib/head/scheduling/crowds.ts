/** What runs on each rank, summed, as far as it bears on who may run beside it. */
import type { Place } from './policy.js';
import { numKnownTokens, numNewTokensLeft, type Progress, type Running } from './progress.js';
import type { Lookup, SequenceBlocks } from './sequence_blocks.js';

/** What runs on one rank. */
export interface Crowd {
  readonly numSequences: number;
  /** Blocks that they lack for all tokens that there are so far. */
  readonly numAhead: number;
  /** Blocks beyond those that are kept for what they generate. */
  readonly numHeadroom: number;
  /** Tokens that they compute before all of them generate. */
  readonly numPrefillTokens: number;
}

/** Blocks that each running sequence finds free to grow into before another one is admitted beside it. Why: docs/decisions/memory.md#admission-leaves-headroom */
export const HEADROOM_BLOCKS = 2;

/** What a token costs that comes from elsewhere, as tokens to compute. Why: docs/decisions/kv_store.md#what-lies-elsewhere-counts-as-nearly-computed */
const COMING_TOKENS = 1 / 16;

/** The limits that count here. */
interface CrowdLimits {
  readonly blockSize: number;
  readonly numHeadroomBlocks: number;
  readonly paceOf?: ((rank: number) => number) | undefined;
}

const NOBODY: Crowd = { numSequences: 0, numAhead: 0, numHeadroom: 0, numPrefillTokens: 0 };

/** By rank. */
export class Crowds {
  private readonly crowds = new Map<number, Crowd>();

  constructor(
    private readonly limits: CrowdLimits,
    running: Iterable<Running>,
  ) {
    for (const state of running) this.join(state);
  }

  /** Of a rank that is left. */
  of(rank: number): Crowd {
    return this.crowds.get(rank) ?? NOBODY;
  }

  /** One more runs. */
  join(state: Running): void {
    const { numSequences, numAhead, numHeadroom, numPrefillTokens } = this.of(state.rank);
    const numKnown = numKnownTokens(state);
    const isGenerating = state.numSampled > 0 && state.numPlanned >= state.numCommitted;
    const isComputed = isGenerating || state.arrival !== null;
    const numFirst = Math.max(state.numPlanned, (state.lift?.slots.length ?? 0) * this.limits.blockSize);
    this.crowds.set(state.rank, {
      numSequences: numSequences + 1,
      numAhead: numAhead + Math.max(this.numBlocks(numKnown) - state.blocks.length, 0),
      numHeadroom: numHeadroom + this.headroomOf(state),
      numPrefillTokens: numPrefillTokens + (isComputed ? 0 : numKnown - numFirst),
    });
  }

  /** What a rank offers a request that waits. `found`: what it would begin with there. */
  placeOf(rank: number, request: Progress, blocks: SequenceBlocks, found: Lookup): Place {
    const { blockSize } = this.limits;
    const { numSequences, numAhead, numHeadroom, numPrefillTokens } = this.of(rank);
    const { cached, numComing } = heldOf(found);
    const isAlone = numSequences === 0;
    const numAvailable = blocks.numAvailable(rank, isAlone);
    const numKnown = numKnownTokens(request);
    const numIdle = blocks.numCachedOf(rank, cached);
    const numKept = isAlone ? 0 : blocks.numPinnedOf(rank, cached);
    const numOwn = this.numBlocks(numKnown) - cached.length + numIdle - numKept;
    const numCachedTokens = cached.length * blockSize;
    const numComingTokens = numComing * blockSize;
    return {
      rank,
      numSequences,
      numFreeBlocks: numAvailable - numAhead - numOwn - numHeadroom,
      numCachedTokens: numCachedTokens + numComingTokens,
      numIdleTokens: numIdle * blockSize,
      numPrefillTokens:
        numPrefillTokens + numKnown - numCachedTokens - Math.floor((1 - COMING_TOKENS) * numComingTokens),
      numKvTokens: blocks.numUsed(rank) * blockSize,
      pace: this.limits.paceOf?.(rank) ?? 1,
    };
  }

  /** Never more than it can come to need. */
  private headroomOf(state: Progress): number {
    const numKnown = numKnownTokens(state);
    const numLeft = this.numBlocks(numKnown + numNewTokensLeft(state) - 1) - this.numBlocks(numKnown);
    return Math.min(Math.max(numLeft, 0), this.limits.numHeadroomBlocks);
  }

  private numBlocks(numTokens: number): number {
    return Math.ceil(numTokens / this.limits.blockSize);
  }
}

/** Blocks of the cache, and how many come from elsewhere. */
function heldOf({ blocks, slots }: Lookup): { readonly cached: readonly number[]; readonly numComing: number } {
  if (slots.length === 0) return { cached: blocks, numComing: 0 };
  const cached = slots.flatMap((slot) => (slot.kind === 'cached' ? [slot.block] : []));
  return { cached, numComing: slots.length - cached.length };
}
