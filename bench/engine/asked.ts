/** Prompts and lengths of the engine's benchmark, drawn. Pure. */
import { Draws, streamOf } from '../serve/load/streams.js';
import { FIRST_TOKEN } from '../serve/load/prompt_maker.js';
import type { Asked } from './followed.js';

/** Draws prompts that no cache has seen: each from a stream of its own. */
export class PromptSource {
  private numDrawn = 0;

  constructor(
    private readonly seed: number,
    private readonly vocabSize: number,
  ) {}

  /** Token ids that share nothing with other prompts but by chance. */
  next(numTokens: number): number[] {
    const draws = new Draws(this.seed, streamOf('bodies', this.numDrawn++));
    return Array.from({ length: numTokens }, () => draws.between(FIRST_TOKEN, this.vocabSize - 1));
  }
}

/** Exponentially distributed whole numbers with about this mean, from 4 up to `most`: few long answers among many short ones, as traces have them. */
export function mixedLengths(count: number, mean: number, most: number, seed: number): number[] {
  const draws = new Draws(seed, streamOf('output lengths'));
  return Array.from({ length: count }, () => Math.max(4, Math.min(most, Math.round(mean * draws.exponential()))));
}

/** Requests of these lengths, with new prompts. */
export const askedOf = (prompts: PromptSource, promptTokens: number, outputLengths: readonly number[]): Asked[] =>
  outputLengths.map((maxNewTokens) => ({ promptTokenIds: prompts.next(promptTokens), maxNewTokens }));
