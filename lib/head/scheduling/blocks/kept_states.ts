import { LruList } from './lru_list.js';

/**
 * Which of one rank's KV blocks keep the state behind their last token, as the head counts them: a sequence begins behind such a block or at the start. Pure
 * bookkeeping: the bytes are the rank's, which keeps a state until it is told to forget it or the block.
 * Why: docs/decisions/states.md#blocks-keep-some-states
 */
export class KeptStates {
  /** Those too that a step which runs is to write; least recently used first. */
  private readonly order: LruList;
  private readonly ready = new Set<number>();
  private numChanges = 0;

  constructor(
    numBlocks: number,
    private readonly maxKept: number,
  ) {
    this.order = new LruList(numBlocks);
  }

  /** Another number whenever {@link has} may answer otherwise. */
  get version(): number {
    return this.numChanges;
  }

  /** Kept ones, and those that are being written. */
  get size(): number {
    return this.order.size;
  }

  /** Whether a sequence can begin behind this block. */
  has(block: number): boolean {
    return this.ready.has(block);
  }

  /**
   * A step will write a block's state. Returns the block that has to forget its own for it, −1: none has to; null: there is no room, and nothing is kept.
   *
   * @param isWanted a sequence that didn't begin yet needs it
   */
  plan(block: number, isWanted: (block: number) => boolean): number | null {
    let victim = -1;
    if (!this.order.has(block) && this.order.size >= this.maxKept) {
      victim = this.leastRecent(isWanted);
      if (victim < 0) return null;
      this.forget(victim);
    }
    this.order.add(block);
    return victim;
  }

  /** The step that writes a block's state counts. */
  commit(block: number): void {
    this.numChanges++;
    this.ready.add(block);
  }

  /** A sequence begins there. */
  use(block: number): void {
    if (this.order.has(block)) this.order.add(block);
  }

  /** The block keeps nothing any more. */
  forget(block: number): void {
    this.order.remove(block);
    if (this.ready.delete(block)) this.numChanges++;
  }

  /** Of those that may go; those that may not count as used now. */
  private leastRecent(isWanted: (block: number) => boolean): number {
    for (let left = this.order.size; left > 0; left--) {
      const block = this.order.shift()!;
      this.order.add(block);
      if (this.ready.has(block) && !isWanted(block)) return block;
    }
    return -1;
  }
}

/**
 * Where states are kept of a sequence's tokens position … end − 1, ascending: every `interval` tokens and before the prompt's last token, where others may go on, and
 * behind the last full block, where it goes on itself should it give way.
 */
export function keptEnds(
  { position, end, numPromptTokens }: { readonly position: number; readonly end: number; numPromptTokens: number },
  blockSize: number,
  interval: number,
): number[] {
  const ends = new Set<number>();
  for (let at = interval * Math.ceil((position + 1) / interval); at <= end; at += interval) ends.add(at);
  for (const at of [promptEnd(numPromptTokens, blockSize), blockSize * Math.floor(end / blockSize)])
    if (at > position && at <= end) ends.add(at);
  return [...ends].sort((a, b) => a - b);
}

/** Whether a state there is kept for others too, when its sequence has gone on. */
export const isForOthers = (at: number, numPromptTokens: number, blockSize: number, interval: number): boolean =>
  at % interval === 0 || at === promptEnd(numPromptTokens, blockSize);

/** The last block that an equal prompt can have found, since its last token is computed. */
const promptEnd = (numPromptTokens: number, blockSize: number): number =>
  blockSize * Math.floor((numPromptTokens - 1) / blockSize);
