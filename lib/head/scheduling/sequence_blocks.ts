/** Which KV blocks sequences hold on which rank: taken as they grow, shared where prompts begin alike, given back when they end or give way. */
import type { FreeOrder } from '../../protocol/step_plan.js';
import { BlockLedger } from './block_ledger.js';
import { maySkipTokens, numKnownTokens, type Progress, type Running } from './progress.js';

/** What a rank is to forget. */
export interface Freed extends FreeOrder {
  readonly rank: number;
}

/** The ledgers of all ranks, in terms of sequences and tokens. */
export class SequenceBlocks {
  /** By rank; null for one that was lost. */
  private readonly ledgers: (BlockLedger | null)[];
  private freed: Freed[] = [];

  constructor(
    numRanks: number,
    numBlocks: number,
    private readonly blockSize: number,
  ) {
    this.ledgers = Array.from({ length: numRanks }, () => new BlockLedger(numBlocks));
  }

  /** Of a rank that is left. */
  numFree(rank: number): number {
    return this.ledgers[rank]!.numFree;
  }

  /** Ranks that are left. */
  get ranks(): number[] {
    return this.ledgers.flatMap((ledger, rank) => (ledger === null ? [] : [rank]));
  }

  /** Blocks of a rank with the beginning of a prompt, of which at least the last token is to be computed. */
  match(rank: number, state: Progress): number[] {
    if (!maySkipTokens(state)) return [];
    const numWhole = Math.floor((state.promptTokenIds.length - 1) / this.blockSize);
    return this.ledgers[rank]!.match(state.promptKeys.slice(0, numWhole));
  }

  /** Blocks that a sequence with `numHeld` of them lacks for its first `numTokens` tokens. */
  numLacking(numHeld: number, numTokens: number): number {
    return Math.max(Math.ceil(numTokens / this.blockSize) - numHeld, 0);
  }

  /** Blocks that a sequence with `numHeld` of them lacks for all tokens that there are so far. */
  numAhead(state: Progress, numHeld: number): number {
    return this.numLacking(numHeld, numKnownTokens(state));
  }

  /** Holds further blocks of the rank, which other sequences hold. */
  share(rank: number, blocks: readonly number[]): void {
    this.ledgers[rank]!.share(blocks);
  }

  /** Takes what a sequence lacks for its first `numTokens` tokens; there must be as many. */
  grow({ rank, blocks }: Running, numTokens: number): void {
    blocks.push(...this.ledgers[rank]!.take(this.numLacking(blocks.length, numTokens))!);
  }

  /** Others may share the full blocks of the prompt's tokens from this position on, now that they are computed; nothing behind a token that lost an expert. */
  seal({ rank, blocks, promptKeys, numComputed, firstDegraded }: Running, position: number): void {
    const end = Math.floor(Math.min(numComputed, firstDegraded) / this.blockSize);
    const numFull = Math.min(promptKeys.length, end);
    for (let i = Math.floor(position / this.blockSize); i < numFull; i++)
      this.ledgers[rank]!.seal(blocks[i]!, promptKeys[i]!);
  }

  /** Gives back what a sequence holds beyond its tokens in the cache. */
  shrink(state: Running): void {
    const ahead = state.blocks.splice(Math.ceil(state.numComputed / this.blockSize));
    this.release(state.rank, ahead, []);
  }

  /** Gives back all that a sequence holds; its rank forgets it. */
  end({ sequence, rank, blocks, hasBegun }: Running): void {
    this.release(rank, blocks, hasBegun ? [sequence] : []);
  }

  /** What a lost rank held is gone with it. */
  lose(rank: number): void {
    this.ledgers[rank] = null;
    this.freed = this.freed.filter((each) => each.rank !== rank);
  }

  /** What ranks are to forget since the last call; they must hear of it before the next step. */
  takeFreed(): readonly Freed[] {
    const { freed } = this;
    this.freed = [];
    return freed;
  }

  private release(rank: number, held: readonly number[], sequences: readonly number[]): void {
    const blocks = this.ledgers[rank]!.release(held);
    if (blocks.length + sequences.length > 0) this.freed.push({ rank, blocks, sequences });
  }
}
