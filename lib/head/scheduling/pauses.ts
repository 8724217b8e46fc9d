/**
 * Sequences that steps leave alone, because somebody is to go on with them elsewhere. Pure bookkeeping.
 * Why: docs/decisions/handover.md#a-pause-ends-what-is-planned-and-nothing-else
 */
import type { Progress, Running } from './progress.js';

/** By sequence; what the scheduler has of them stays. */
export class Pauses {
  /** Tokens of output with which it pauses. */
  private readonly after = new Map<number, number>();
  /** Requests that are over: they hold blocks alone. */
  private readonly over = new Set<number>();

  /** A sequence pauses as soon as it has so many tokens of output, those too that steps sample which run now. */
  add(sequence: number, numOutputTokens: number): void {
    this.after.set(sequence, numOutputTokens);
  }

  /** It pauses at once, and never goes on. */
  end(sequence: number): void {
    this.add(sequence, 0);
    this.over.add(sequence);
  }

  /** It goes on, or it is gone. */
  remove(sequence: number): void {
    this.after.delete(sequence);
    this.over.delete(sequence);
  }

  /** Whether no further step computes one that runs. */
  has({ sequence, numSampled }: Pick<Running, 'sequence' | 'numSampled'>): boolean {
    return numSampled >= (this.after.get(sequence) ?? Infinity);
  }

  /** Whether one that waits is to go on waiting. */
  hasWaiting({ sequence, outputTokenIds }: Pick<Progress, 'sequence' | 'outputTokenIds'>): boolean {
    return outputTokenIds.length >= (this.after.get(sequence) ?? Infinity);
  }

  /** Whether the request is over. */
  isOver({ sequence }: Pick<Progress, 'sequence'>): boolean {
    return this.over.has(sequence);
  }
}
