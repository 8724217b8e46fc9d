/**
 * What of the prompts came from the server's prefix cache, and what could have, were it without end. Pure.
 * Why: docs/decisions/measuring.md#what-a-prefix-cache-could-have-had
 */
import { BlockTree } from './block_tree.js';
import { isCompleted, numOutputTokens, numPromptTokens, type CompletedRecord, type RequestRecord } from './record.js';

/** Tokens of prompts, and fractions of them. */
export interface CachedFigures {
  /** Of requests whose usage tells cached tokens; null where none does. */
  readonly measured: { readonly cachedTokens: number; readonly promptTokens: number } | null;
  /** Null where prompts were texts without a conversation: nobody knows what they share. */
  readonly ideal: {
    /** Blocks of earlier prompts alone. */
    readonly ofPrompts: number;
    /** Those of earlier answers too. */
    readonly ofAnswers: number;
    readonly promptTokens: number;
  } | null;
}

/** `blockSize`: tokens of a block of the server's cache, of which only full ones are shared. */
export function cachedFigures(records: readonly RequestRecord[], blockSize: number): CachedFigures {
  const completed = records.filter(isCompleted).sort((a, b) => a.startMs - b.startMs);
  const telling = completed.filter(({ answer }) => answer.usage?.cachedTokens != null);
  const measured =
    telling.length === 0
      ? null
      : {
          cachedTokens: sum(telling.map(({ answer }) => answer.usage!.cachedTokens!)),
          promptTokens: sum(telling.map(({ answer }) => answer.usage!.promptTokens)),
        };
  return { measured, ideal: idealOf(completed, blockSize) };
}

function idealOf(completed: readonly CompletedRecord[], blockSize: number): CachedFigures['ideal'] {
  const ideals = completed.every(({ promptIds }) => promptIds !== null)
    ? idealOfTokens(completed, blockSize)
    : idealOfTurns(completed, blockSize);
  if (ideals === null) return null;
  return {
    ofPrompts: sum(ideals.map(({ ofPrompts }) => ofPrompts)),
    ofAnswers: sum(ideals.map(({ ofAnswers }) => ofAnswers)),
    promptTokens: sum(completed.map((record) => numPromptTokens(record) ?? 0)),
  };
}

interface Ideal {
  readonly ofPrompts: number;
  readonly ofAnswers: number;
}

/** What can come from blocks: at least the last token of a prompt is computed. */
const inBlocks = (numShared: number, numTokens: number, blockSize: number): number =>
  Math.floor(Math.min(numShared, numTokens - 1) / blockSize) * blockSize;

/** By the ids themselves, in the order of sending. */
function idealOfTokens(completed: readonly CompletedRecord[], blockSize: number): Ideal[] {
  const [prompts, answers] = [new BlockTree(blockSize), new BlockTree(blockSize)];
  return completed.map(({ promptIds, answer }) => {
    const ids = promptIds!;
    const ideal = {
      ofPrompts: inBlocks(prompts.match(ids), ids.length, blockSize),
      ofAnswers: inBlocks(answers.match(ids), ids.length, blockSize),
    };
    prompts.add(ids);
    answers.add(answer.tokenIds === null ? ids : [...ids, ...answer.tokenIds.slice(0, -1)]);
    return ideal;
  });
}

/** By the lengths of the turn before, which this one's prompt goes on; null where no conversation has several turns. */
function idealOfTurns(completed: readonly CompletedRecord[], blockSize: number): Ideal[] | null {
  if (!completed.some(({ turn, hasLaterTurns }) => turn > 0 || hasLaterTurns)) return null;
  const before = new Map<number, { readonly prompt: number; readonly all: number }>();
  return completed.map((record) => {
    const { conversation } = record;
    const numTokens = numPromptTokens(record) ?? 0;
    const { prompt, all } = before.get(conversation) ?? { prompt: 0, all: 0 };
    // The last token of an answer was never fed to the model.
    before.set(conversation, { prompt: numTokens, all: numTokens + numOutputTokens(record) - 1 });
    return { ofPrompts: inBlocks(prompt, numTokens, blockSize), ofAnswers: inBlocks(all, numTokens, blockSize) };
  });
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
