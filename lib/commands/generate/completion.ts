/** What `generate` made. */
import type { Prompt } from '../engine/prompts.js';
import type { FinishReason, TokenLogprobs } from '../../protocol/request.js';

/** What became of one prompt. */
export interface Completion {
  readonly prompt: Prompt;
  readonly tokenIds: readonly number[];
  readonly text: string;
  readonly finishReason: FinishReason;
  readonly seed: number;
  /** Of each token; null: not asked for. */
  readonly logprobs: readonly TokenLogprobs[] | null;
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

/** What `--json` prints of one prompt. */
export function completionJson(completion: Completion, withRoutedExperts: boolean): object {
  const { prompt, text, tokenIds, finishReason, seed, logprobs, routedExperts, numDegradedTokens } = completion;
  return {
    prompt: prompt.text,
    prompt_token_ids: prompt.tokenIds,
    text,
    token_ids: tokenIds,
    finish_reason: finishReason,
    seed,
    ...(numDegradedTokens > 0 && { degraded_tokens: numDegradedTokens }),
    ...(logprobs !== null && { logprobs: logprobs.map(logprobsJson) }),
    ...(withRoutedExperts && { routed_experts: routedExperts }),
  };
}

const logprobsJson = ({ logprob, rank, top }: TokenLogprobs): object => ({
  logprob,
  rank,
  top: top.map(({ tokenId, logprob: own }) => ({ token_id: tokenId, logprob: own })),
});
