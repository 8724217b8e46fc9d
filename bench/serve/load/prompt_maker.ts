/** Prompts that nobody wrote: random tokens, or random words where a server takes text alone. Pure; the same seed and streams give the same prompts. */
import { uniform } from '../../../base/philox.js';
import type { Prompt } from './conversation.js';

/** A piece of a prompt: the same stream gives the same tokens, of which a shorter piece has the first. */
export interface Piece {
  readonly stream: number;
  readonly numTokens: number;
}

/** Makes a prompt of pieces. */
export type PromptMaker = (pieces: readonly Piece[]) => Prompt;

/** Below this families keep their special tokens. */
export const FIRST_TOKEN = 64;

/** Prompts of token ids from {@link FIRST_TOKEN} to below `vocabSize`. */
export const tokenPrompts =
  (seed: number, vocabSize: number): PromptMaker =>
  (pieces) => {
    const tokenIds = new Int32Array(pieces.reduce((sum, { numTokens }) => sum + numTokens, 0));
    let at = 0;
    for (const { stream, numTokens } of pieces) {
      for (let i = 0; i < numTokens; i++)
        tokenIds[at++] = FIRST_TOKEN + Math.floor(uniform(seed, stream, i) * (vocabSize - FIRST_TOKEN));
    }
    return { kind: 'tokens', tokenIds };
  };

/** Common words, which most vocabularies have as one token each. */
export const WORDS =
  'the of and to in a is that it was for on with as his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know'.split(
    ' ',
  );

/** Prompts of words; `tokensPerWord`: what the server makes of them on average. */
export const wordPrompts =
  (seed: number, tokensPerWord: number, form: 'text' | 'messages'): PromptMaker =>
  (pieces) => {
    const text = pieces
      .map(({ stream, numTokens }) => {
        const numWords = Math.max(1, Math.round(numTokens / tokensPerWord));
        return Array.from({ length: numWords }, (_, i) => WORDS[Math.floor(uniform(seed, stream, i) * WORDS.length)]!);
      })
      .map((words) => `${words.join(' ')} `)
      .join('');
    return form === 'text' ? { kind: 'text', text } : { kind: 'messages', messages: [{ role: 'user', content: text }] };
  };
