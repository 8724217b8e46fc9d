/** What `generate` made. */
import type { Prompt } from '../engine/prompts.js';
import type { FinishReason } from '../../protocol/request.js';

/** What became of one prompt. */
export interface Completion {
  readonly prompt: Prompt;
  readonly tokenIds: readonly number[];
  readonly text: string;
  readonly finishReason: FinishReason;
  readonly seed: number;
  readonly routedExperts: number[][][] | null;
  readonly numDegradedTokens: number;
  readonly firstTokenAtMs: number;
}

/** How fast a run was. */
export interface Timing {
  readonly elapsedMs: number;
  /** From the request to the first token of any prompt. */
  readonly firstTokenMs: number;
}
