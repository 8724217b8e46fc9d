/** What `generate` made. */
import type { Prompt } from '../engine/prompts.js';
import { shortFloat } from '../../../base/float_rows.js';
import type { FinishReason, RouterLogits, TokenLogprobs } from '../../protocol/request.js';

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
  /** Of all tokens that were fed to the model; null: not asked for. */
  readonly routerLogits: readonly RouterLogits[] | null;
  readonly numDegradedTokens: number;
  readonly firstTokenAtMs: number;
}

/** How often the tokens of a prompt chose each expert: [layer][expert], from its `routedExperts`. */
export const choicesOf = (
  routedExperts: readonly (readonly (readonly number[])[])[],
  numExperts: readonly number[],
): Float64Array[] =>
  numExperts.map((count, moeLayer) => {
    const counts = new Float64Array(count);
    for (const layers of routedExperts) for (const expert of layers[moeLayer]!) counts[expert]!++;
    return counts;
  });

/** How fast a run was. */
export interface Timing {
  readonly elapsedMs: number;
  /** From the request to the first token of any prompt. */
  readonly firstTokenMs: number;
}

/** What `--json` prints of one prompt. */
export function completionJson(completion: Completion, withRoutedExperts: boolean): object {
  const { prompt, text, tokenIds, finishReason, seed, logprobs, numDegradedTokens } = completion;
  const { routedExperts, routerLogits } = completion;
  return {
    ...(prompt.label !== null && { label: prompt.label }),
    prompt: prompt.text,
    prompt_token_ids: prompt.tokenIds,
    text,
    token_ids: tokenIds,
    finish_reason: finishReason,
    seed,
    ...(numDegradedTokens > 0 && { degraded_tokens: numDegradedTokens }),
    ...(logprobs !== null && { logprobs: logprobs.map(logprobsJson) }),
    ...(withRoutedExperts && { routed_experts: routedExperts }),
    ...(routerLogits !== null && { router_logits: routerLogits.map(layersJson) }),
  };
}

/** [MoE layers][E] */
const layersJson = (layers: RouterLogits): number[][] | null =>
  layers?.map((logits_E) => Array.from(logits_E, shortFloat)) ?? null;

const logprobsJson = ({ logprob, rank, top }: TokenLogprobs): object => ({
  logprob,
  rank,
  top: top.map(({ tokenId, logprob: own }) => ({ token_id: tokenId, logprob: own })),
});
