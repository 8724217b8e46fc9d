import type { SequenceEnd } from './observing/request_news.js';
import type { PlanPart, SequenceOutput } from '../protocol/step_plan.js';

/** Takes what steps make of one sequence. */
export interface Sequence {
  /** It runs from now on; so many tokens of its prompt were computed before. Once more after it gave way or lost its rank. */
  admit?(numCachedTokens: number): void;
  /**
   * Takes a committed output; why the sequence is over, or null while it goes on.
   * @param numDegradedTokens its tokens so far that lost an expert, in replays too
   */
  take(
    part: PlanPart,
    output: SequenceOutput,
    numDegradedTokens: number,
  ): SequenceEnd | null | Promise<SequenceEnd | null>;
  /** Another instance had it: it goes on behind these tokens of its output; why it is over with them, or null. */
  resume?(tokenIds: readonly number[]): SequenceEnd | null;
  /** Another instance goes on with it. */
  move?(): void;
  fail(error: Error): void;
}
