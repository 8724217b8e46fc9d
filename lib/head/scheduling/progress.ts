/** How far a request is, and the parts of a step that take it further: pure. */
import type { SamplingParams } from '../../protocol/sampling.js';
import type { PlanPart, SequenceStart, SequenceWants } from '../../protocol/step_plan.js';

export interface SequenceRequest {
  readonly sequence: number;
  readonly promptTokenIds: readonly number[];
  /** 0: only score the prompt. */
  readonly maxNewTokens: number;
  readonly sampling: SamplingParams;
  readonly wants: SequenceWants;
}

/** A request and what came of it. */
export interface Progress extends SequenceRequest {
  readonly outputTokenIds: number[];
  /** Tokens whose outputs were committed; more than `numComputed` after the sequence's rank was lost. */
  numCommitted: number;
  /** Ranks that failed while they computed it, since it last went on. */
  readonly failedRanks: number[];
}

export interface Running extends Progress {
  readonly rank: number;
  readonly blocks: readonly number[];
  /** Tokens in the KV cache. */
  numComputed: number;
  /** Its rank knows it. */
  hasBegun: boolean;
}

export const startOf = ({ sequence, blocks, sampling, wants }: Running): SequenceStart => ({
  sequence,
  blocks,
  sampling,
  wants,
});

export const decodePart = (state: Running): PlanPart => ({
  sequence: state.sequence,
  tokenIds: [state.outputTokenIds.at(-1)!],
  position: state.numComputed,
  isPrompt: false,
  sample: true,
  nextPromptToken: null,
  isReplay: false,
});

export const isReplaying = ({ numComputed, numCommitted }: Running): boolean => numComputed < numCommitted;

/**
 * Tokens that one replay can take: prompt tokens and generated ones never share a part, because attention may have computed them in different forms.
 */
export function numLeftToReplay({ numComputed, numCommitted, promptTokenIds: { length } }: Running): number {
  return (numComputed < length ? Math.min(numCommitted, length) : numCommitted) - numComputed;
}

export function replayPart(state: Running, numTokens: number): PlanPart {
  const { sequence, promptTokenIds, outputTokenIds, numComputed: position } = state;
  const tokenIds = [...promptTokenIds, ...outputTokenIds].slice(position, position + numTokens);
  const isPrompt = position < promptTokenIds.length;
  return { sequence, tokenIds, position, isPrompt, sample: false, nextPromptToken: null, isReplay: true };
}

export function prefillPart(state: Running, numTokens: number): PlanPart {
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
