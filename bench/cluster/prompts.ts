/** Prompts of random tokens. Pure. */
import { tokenPrompts } from '../serve/load/prompt_maker.js';

/** The vocabulary of all models here. */
const VOCAB_SIZE = 2048;

/** Each stream has another one. */
export function promptOf(seed: number, stream: number, numTokens: number): readonly number[] {
  const prompt = tokenPrompts(seed, VOCAB_SIZE)([{ stream, numTokens }]);
  return prompt.kind === 'tokens' ? [...prompt.tokenIds] : [];
}
