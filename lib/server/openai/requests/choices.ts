/** The texts that a request asks for: each is one request to the engine. */
import type { GenerationRequest } from '../../../protocol/request.js';
import type { SamplingParams } from '../../../protocol/sampling.js';
import { ApiError } from '../../base/api_error.js';
import type { ServedEngine } from '../../base/served_engine.js';
import type { GenerationFields } from './fields.js';
import { pinMsOf } from './kept_fields.js';
import { checkPromptLogprobs } from './prompt_logprobs.js';
import type { Prompt } from './prompts.js';
import type { SamplingDefaults } from './sampling_defaults.js';
import { mostTokensOf } from '../../../protocol/limits.js';

/** One text of an answer. */
export interface Choice {
  readonly index: number;
  readonly prompt: Prompt;
  /** Which of the texts of its prompt. */
  readonly sample: number;
  readonly request: GenerationRequest;
}

/** The fields that say how the texts come about; a response has fewer than a completion. */
export type ChoiceFields = Partial<GenerationFields>;

/** What an endpoint asks the engine for beside {@link GenerationFields}. */
export interface Wanted {
  readonly maxNewTokens: number;
  /** Null: none. */
  readonly logprobs: number | null;
  readonly promptLogprobs: number | null;
  /** The name of the request. */
  readonly id: string;
}

/** `n` choices for each prompt, prompt by prompt. @throws ApiError INVALID_VALUE where they are too many */
export function choicesOf(
  prompts: readonly Prompt[],
  fields: ChoiceFields,
  defaults: SamplingDefaults,
  maxChoices: number,
  wantedFor: (prompt: Prompt) => Wanted,
): readonly Choice[] {
  const n = fields.n ?? 1;
  const numChoices = n * prompts.length;
  if (numChoices > maxChoices) {
    const asked =
      prompts.length === 1 ? `n is ${n},` : `${prompts.length} prompts times n ${n} are ${numChoices} choices,`;
    throw new ApiError('INVALID_VALUE', `${asked} more than server.max_choices, ${maxChoices}; lower n`, {
      param: 'n',
    });
  }
  const wantedOf = prompts.map(wantedFor);
  checkPromptLogprobs(prompts, wantedOf, n);
  return prompts.flatMap((prompt, i) => {
    const wanted = wantedOf[i]!;
    return Array.from({ length: n }, (_, sample): Choice => {
      const index = i * n + sample;
      const id = numChoices === 1 ? wanted.id : `${wanted.id}-${index}`;
      const promptLogprobs = sample === 0 || fields.stream === true ? wanted.promptLogprobs : fewest(wanted);
      const request = requestOf(prompt, fields, defaults, sample, { ...wanted, promptLogprobs, id });
      return { index, prompt, sample, request };
    });
  });
}

/** Whole answers tell those of the first sample with all; the engine wants some of who wants nothing else. */
const fewest = ({ maxNewTokens }: Wanted): number | null => (maxNewTokens === 0 ? 0 : null);

function requestOf(
  { tokenIds: promptTokenIds }: Prompt,
  fields: ChoiceFields,
  defaults: SamplingDefaults,
  sample: number,
  { maxNewTokens, logprobs, promptLogprobs, id }: Wanted,
): GenerationRequest {
  const { min_tokens: minTokens } = fields;
  const pinMs = pinMsOf(fields);
  if (minTokens != null && minTokens > maxNewTokens) {
    throw new ApiError(
      'INVALID_VALUE',
      `min_tokens is ${minTokens}, more than the ${maxNewTokens} tokens that there can be; lower it`,
      {
        param: 'min_tokens',
      },
    );
  }
  return {
    promptTokenIds,
    maxNewTokens,
    sampling: samplingOf(fields, defaults, sample),
    stop: [fields.stop ?? []].flat(),
    ignoreEos: fields.ignore_eos ?? false,
    stopTokenIds: fields.stop_token_ids ?? [],
    includeStop: fields.include_stop_str_in_output ?? false,
    skipSpecialTokens: fields.skip_special_tokens ?? true,
    priority: fields.priority ?? 0,
    returnRoutedExperts: fields.return_routed_experts ?? false,
    ...(fields.return_router_logits != null && { returnRouterLogits: fields.return_router_logits }),
    id,
    ...(pinMs > 0 && { pinMs }),
    ...(logprobs !== null && { logprobs }),
    ...(promptLogprobs !== null && { promptLogprobs }),
  };
}

/** vLLM's word for no seed at all; other seeds under 0 are seeds, which the engine counts from 0. */
const ANY_SEED = -1;

function samplingOf(fields: ChoiceFields, defaults: SamplingDefaults, sample: number): Partial<SamplingParams> {
  const { top_k: topK, seed, logit_bias: biases, allowed_token_ids: allowed } = fields;
  return {
    temperature: fields.temperature ?? defaults.temperature,
    topP: fields.top_p ?? defaults.top_p,
    topK: Math.max(0, topK ?? defaults.top_k), // −1 is off too
    minP: fields.min_p ?? defaults.min_p,
    repetitionPenalty: fields.repetition_penalty ?? defaults.repetition_penalty,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    logitBias: Object.entries(biases ?? {}).map(([tokenId, bias]) => [Number(tokenId), bias]),
    allowedTokenIds: allowed ?? null,
    minTokens: fields.min_tokens ?? 0,
    choice: sample,
    ...(seed != null && seed !== ANY_SEED && { seed: seed < 0 ? seed + 2 ** 53 : seed }),
  };
}

/**
 * How many tokens a request that asked for `asked` gets, in the room that its prompt leaves; `room` where it didn't ask. Who asks for 0 needs no room.
 * @throws ApiError CONTEXT_LENGTH_EXCEEDED naming `param`
 */
export function fitting(
  { tokenIds }: Prompt,
  { limits }: Pick<ServedEngine, 'limits'>,
  asked: number | null | undefined,
  param: string,
): { readonly maxNewTokens: number; readonly room: number } {
  const most = mostTokensOf(limits);
  const room = most - tokenIds.length;
  if (room < (asked === 0 ? 0 : 1)) {
    const text = `the prompt has ${tokenIds.length} tokens, and there is room for ${most} with the answer; shorten it`;
    throw new ApiError('CONTEXT_LENGTH_EXCEEDED', text);
  }
  if ((asked ?? 0) > room) {
    const text = `the prompt has ${tokenIds.length} tokens and ${param} is ${asked ?? 0}, and there is room for ${most}; shorten the prompt or lower ${param}`;
    throw new ApiError('CONTEXT_LENGTH_EXCEEDED', text, { param });
  }
  return { maxNewTokens: asked ?? room, room };
}
