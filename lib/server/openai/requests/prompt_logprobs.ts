/** How many log-probabilities of prompts an answer may have. Pure. */
import { ApiError } from '../../base/api_error.js';
import type { Prompt } from './prompts.js';

/** Some 26 bytes of JSON each. */
const MAX_PROMPT_LOGPROBS = 2 ** 21;

/**
 * @param wanted of each prompt, how many likeliest tokens in each place are asked for; null: none
 * @param n choices of each prompt, all of which tell them
 * @throws ApiError INVALID_VALUE where an answer would be larger than can be made
 */
export function checkPromptLogprobs(
  prompts: readonly Prompt[],
  wanted: readonly { readonly promptLogprobs: number | null }[],
  n: number,
): void {
  const count = prompts.reduce((sum, { tokenIds }, i) => {
    const { promptLogprobs } = wanted[i]!;
    return promptLogprobs === null ? sum : sum + n * tokenIds.length * (1 + promptLogprobs);
  }, 0);
  if (count <= MAX_PROMPT_LOGPROBS) return;
  throw new ApiError(
    'INVALID_VALUE',
    `the answer would have ${count} log-probabilities of prompts, and there can be ${MAX_PROMPT_LOGPROBS}; ` +
      'lower n or logprobs, or give fewer or shorter prompts',
    { param: 'n' },
  );
}
