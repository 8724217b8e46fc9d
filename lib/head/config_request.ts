/** From a configuration's `generate` to requests of the engine. */
import type { ExpertwireConfig } from '../config/schema.js';
import type { CheckedGeneration } from './request_check.js';

/** What a run is to tell besides text. */
export interface Asked {
  readonly returnRoutedExperts: boolean;
  /** Share of the tokens; undefined: none. */
  readonly returnRouterLogits?: number | undefined;
  /** Undefined: none. */
  readonly logprobs?: number | undefined;
}

/** What a run asks of the engine for one of its prompts. */
export function requestOf(
  { generate: g }: ExpertwireConfig,
  { tokenIds: promptTokenIds }: { readonly tokenIds: readonly number[] },
  index: number,
  { returnRoutedExperts, returnRouterLogits, logprobs }: Asked,
): CheckedGeneration {
  return {
    promptTokenIds,
    maxNewTokens: g.max_new_tokens,
    sampling: {
      temperature: g.temperature,
      topK: g.top_k,
      topP: g.top_p,
      minP: g.min_p,
      repetitionPenalty: g.repetition_penalty,
      presencePenalty: g.presence_penalty,
      frequencyPenalty: g.frequency_penalty,
      minTokens: g.min_tokens,
      // Each prompt of a run has a seed of its own, which is reported and reproduces it alone.
      ...(g.seed !== null && { seed: g.seed + index }),
    },
    stop: g.stop,
    ignoreEos: g.ignore_eos,
    returnRoutedExperts,
    ...(returnRouterLogits !== undefined && { returnRouterLogits }),
    ...(logprobs !== undefined && { logprobs }),
  };
}
