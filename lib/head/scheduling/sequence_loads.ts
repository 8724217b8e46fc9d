/** What single requests hold, for who decides from outside which of them goes on elsewhere. */
import { numKnownTokens, type Progress, type Running } from './progress.js';

/** One request; tokens of its output are those that are committed. */
export interface SequenceLoad {
  readonly sequence: number;
  readonly isRunning: boolean;
  readonly priority: number;
  readonly numPromptTokens: number;
  readonly numOutputTokens: number;
  /** KV blocks that it holds; of one that waits, those that it lacks to begin. */
  readonly numBlocks: number;
}

/** What all have before them, and some of them one by one. */
export interface SequenceLoads {
  /** Tokens to be computed before each has its next one: of prompts, and of what is computed anew. What the cache holds of those that wait is among them. */
  readonly numPrefillTokens: number;
  readonly sequences: readonly SequenceLoad[];
}

/** `sequences`: those that run in the order in which they were admitted, then those that wait, `most` at most. */
export function sequenceLoads(
  running: readonly Running[],
  waiting: readonly Progress[],
  { most, blockSize }: { readonly most: number; readonly blockSize: number },
): SequenceLoads {
  // The last known token is computed by the step that samples the next one: one that generates has no prompt tokens before it.
  const ahead = running.map((state) => Math.max(numKnownTokens(state) - state.numComputed, 0));
  const numPrefillTokens = sum(ahead.filter((count) => count > 1)) + sum(waiting.map(numKnownTokens));
  const lacking = (state: Progress): number => Math.ceil(numKnownTokens(state) / blockSize);
  const sequences = [
    ...running.slice(0, most).map((state) => loadOf(state, true, state.blocks.length)),
    ...waiting.slice(0, Math.max(most - running.length, 0)).map((state) => loadOf(state, false, lacking(state))),
  ];
  return { numPrefillTokens, sequences };
}

const loadOf = (state: Progress, isRunning: boolean, numBlocks: number): SequenceLoad => ({
  ...{ sequence: state.sequence, isRunning, priority: state.priority ?? 0, numBlocks },
  ...{ numPromptTokens: state.promptTokenIds.length, numOutputTokens: state.outputTokenIds.length },
});

const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
