/** How far a request is, and the parts of a step that take it further: pure. */
import type { SamplingParams } from '../../protocol/sampling.js';
import { SAMPLED, type PlanPart, type SequenceStart, type SequenceWants } from '../../protocol/step_plan.js';
import type { HeldLoan } from '../kv/held_loan.js';
import type { RunningLift } from '../kv/lift_plan.js';
import type { BlockKeys } from './blocks/block_keys.js';
import type { RunningView } from './policy.js';
import { isTold, type Told } from './told.js';

/** What a caller asks of the scheduler. */
export interface SequenceRequest {
  readonly sequence: number;
  readonly promptTokenIds: readonly number[];
  /** That came of it before. Default none. */
  readonly outputTokenIds?: readonly number[];
  /** 0: only score the prompt. */
  readonly maxNewTokens: number;
  readonly sampling: SamplingParams;
  /** Tokens that can't come before `sampling.minTokens` others did. Default: none. */
  readonly endTokenIds?: readonly number[];
  readonly wants: SequenceWants;
  /** Lower comes first, where the policy heeds it. Default 0. */
  readonly priority?: number;
  /** So long its full blocks stay when it is over. Default 0: as long as there is room. */
  readonly pinMs?: number;
  /** Blocks of its beginning that another instance lends. Default null: none. */
  readonly loan?: HeldLoan | null;
  /** Keys of its first blocks, where somebody made them already. Default: they are made when they are asked for. */
  readonly firstKeys?: readonly string[];
  /** Its keys and values come from another instance (sequence_arrivals.ts). Default false. */
  readonly arrives?: boolean;
}

/** A request and what came of it. */
export interface Progress extends SequenceRequest {
  /** What its full blocks hold; null: they are nobody else's business. */
  readonly keys: BlockKeys | null;
  readonly outputTokenIds: number[];
  /** Tokens whose outputs were committed; more than `numComputed` after the sequence's blocks were lost. */
  numCommitted: number;
  /** It isn't computed before its keys and values came from another instance, or they have come. Null: it is. */
  arrival: 'coming' | 'there' | null;
  /** Requests that came later and were admitted before it. */
  numOvertaken: number;
  /** It ran before: it gave way, or its rank was lost. */
  hasRun: boolean;
  /** Ranks that failed while they computed it, since it last went on. */
  readonly failedRanks: number[];
}

/** A request that a rank was chosen for. */
export interface Running extends Progress {
  readonly rank: number;
  /** KV blocks in order of position: those of the tokens in the cache, and of those that the step at hand computes; more where it arrived, and is to compute some. */
  readonly blocks: number[];
  /** Its first tokens, which were in the cache already: others computed them, or it itself before it moved here. */
  readonly numShared: number;
  /** It came with them from another rank. */
  readonly hasMoved: boolean;
  /** Blocks come that it isn't computed without; null: all are there that it begins with. */
  readonly lift: RunningLift | null;
  /** The first step that computes it. */
  readonly firstStep: number;
  /** Tokens in the KV cache, of steps that count. */
  numComputed: number;
  /** Those too that steps compute which run now. */
  numPlanned: number;
  /** Tokens of output, those too that steps sample which run now. */
  numSampled: number;
  /** The first of them that lost an expert, whose key and value no other sequence may share; Infinity: none. */
  firstDegraded: number;
  /** Its rank knows it. */
  hasBegun: boolean;
  /** Tokens behind which steps that run write a state that is kept, ascending. */
  readonly keeps: number[];
  /** The block that keeps a state which only it would go on from. */
  ownKeep: number | null;
}

/** Tokens of prompt and output so far: what its cache holds once the last of them is computed. */
export const numKnownTokens = ({ promptTokenIds, outputTokenIds }: Progress): number =>
  promptTokenIds.length + outputTokenIds.length;

/** As much came of it earlier, or elsewhere. */
export function learnOutput(
  state: Pick<Progress, 'promptTokenIds' | 'outputTokenIds' | 'numCommitted'>,
  outputTokenIds: readonly number[],
): void {
  for (const tokenId of outputTokenIds.slice(state.outputTokenIds.length)) state.outputTokenIds.push(tokenId);
  const { length } = state.outputTokenIds;
  // The last token of an output is computed by the step that samples the next one.
  state.numCommitted = length === 0 ? 0 : state.promptTokenIds.length + length - 1;
}

/** Nothing is asked of single tokens of the prompt, so that another sequence may have computed them. */
export const maySkipTokens = ({ wants }: Pick<Progress, 'wants'>): boolean =>
  !wants.routedExperts &&
  wants.promptLogprobs === null &&
  !wants.logits &&
  (wants.looks ?? []).every(({ tokens }) => tokens === 'generated');

/** Steps that run compute it. */
export const isComputing = ({ numPlanned, numComputed }: Running): boolean => numPlanned > numComputed;

/** Its next token was generated; otherwise it computes its prompt, or computes anew what was lost. */
export const isGenerating = (state: Running): boolean => !isReplaying(state) && state.numSampled > 0;

/** How many of its first tokens may be in the cache already: all that deliver nothing more, but the last. */
export const numSkippable = (state: Progress): number =>
  Math.min(numKnownTokens(state) - 1, maySkipTokens(state) ? Infinity : state.numCommitted);

/** Tokens of output that it may still come to have. */
export const numNewTokensLeft = ({ maxNewTokens, outputTokenIds }: Progress): number =>
  maxNewTokens - outputTokenIds.length;

/** What a policy sees of a request that runs. */
export const viewOf = (state: Running, told: Told): RunningView => {
  const isReplay = isReplaying(state);
  const isNext = isGenerating(state);
  return {
    sequence: state.sequence,
    priority: state.priority ?? 0,
    isGenerating: isNext,
    numReady: isNext ? numLeftToGenerate(state) : isReplay ? numLeftToReplay(state) : numLeftOfPrompt(state),
    toldBytes: isReplay || !isTold(state.wants) ? null : toldBytesOf(state, told),
  };
};

function toldBytesOf(state: Running, told: Told): (token: number) => number {
  const bytesAt = told.bytesOf(state);
  return (token) => bytesAt(state.numPlanned + token);
}

/** For a sequence of which its rank computed nothing yet. */
export function startOf(state: Running, blockSize: number): SequenceStart {
  const { sequence, blocks, promptTokenIds, outputTokenIds, endTokenIds = [], numShared, sampling, wants } = state;
  const numOutput = Math.max(numShared - promptTokenIds.length, 0);
  return {
    sequence,
    blocks: blocks.slice(0, Math.ceil(numShared / blockSize)),
    tokenIds: [...promptTokenIds.slice(0, numShared), ...outputTokenIds.slice(0, numOutput)],
    numPromptTokens: promptTokenIds.length,
    endTokenIds,
    sampling,
    wants,
  };
}

/** Its next tokens; it holds their blocks. */
export function partOf(state: Running, numTokens: number, blockSize: number): PlanPart {
  const { sequence, promptTokenIds, outputTokenIds, numPlanned: position, maxNewTokens } = state;
  const numPromptTokens = promptTokenIds.length;
  const end = position + numTokens;
  const isReplay = isReplaying(state);
  const isPrompt = position < numPromptTokens;
  return {
    sequence,
    tokenIds: isPrompt
      ? promptTokenIds.slice(position, end)
      : Array.from({ length: numTokens }, (_, i) => outputTokenIds[position - numPromptTokens + i] ?? SAMPLED),
    position,
    blocks: state.blocks.slice(Math.ceil(position / blockSize), Math.ceil(end / blockSize)),
    isPrompt,
    sample: !isReplay && end >= numPromptTokens && maxNewTokens > 0,
    nextPromptToken: isReplay ? null : (promptTokenIds[end] ?? null),
    isReplay,
  };
}

const isReplaying = ({ numPlanned, numCommitted }: Running): boolean => numPlanned < numCommitted;

/** One, unless its last token is being sampled already. */
const numLeftToGenerate = ({ numSampled, maxNewTokens }: Running): number => (numSampled < maxNewTokens ? 1 : 0);

const numLeftOfPrompt = ({ promptTokenIds, numPlanned }: Running): number => promptTokenIds.length - numPlanned;

/**
 * Tokens that one replay can take: prompt tokens and generated ones never share a part, because attention may have computed them in different forms.
 */
function numLeftToReplay({ numPlanned, numCommitted, promptTokenIds: { length } }: Running): number {
  return (numPlanned < length ? Math.min(numCommitted, length) : numCommitted) - numPlanned;
}
