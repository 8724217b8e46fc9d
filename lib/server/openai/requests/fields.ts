/** Fields that several endpoints have, under OpenAI's and vLLM's names. Null is as good as absent. Why: docs/decisions/serving.md#which-fields-are-refused */
import * as z from 'zod';
import { MAX_LOGPROBS, MAX_STOP_CHARS } from '../../../protocol/request.js';
import { MAX_LISTED_TOKENS } from '../../../protocol/sampling.js';
import { resumeField } from '../../cluster/resume_field.js';
import { transferParams } from '../../cluster/transfer_params.js';
import { flag, integer, name, number, tokenList } from '../../base/plain_fields.js';
import { keptFields } from './kept_fields.js';

/** Of stop strings; the engine takes no more. */
const MAX_STOPS = 1024;
/** Of tokens that a list may allow: the engine takes as many as the model has, and no model has more. */
const MAX_ALLOWED_TOKENS = 2 ** 20;

const stop = z.union([z.string().min(1), z.array(z.string().min(1)).max(MAX_STOPS)], {
  error: `give a text, or a list of up to ${MAX_STOPS} texts, none of them empty`,
});
const shortStop = stop.refine((stops) => [stops].flat().join('').length <= MAX_STOP_CHARS, {
  error: `give at most ${MAX_STOP_CHARS} characters in all`,
});

const BIAS_ERROR = `give an object from token ids to numbers from -100 to 100, of up to ${MAX_LISTED_TOKENS} tokens`;
/** One spelling for each token: of two the engine would see one bias too many. */
const TOKEN_KEY = /^(0|[1-9]\d{0,8})$/;
const logitBias = z
  .record(z.string(), z.number().min(-100).max(100), { error: BIAS_ERROR })
  .superRefine((biases, context) => {
    const key = Object.keys(biases).find((each) => !TOKEN_KEY.test(each));
    if (key === undefined) return;
    const message = 'give token ids as keys, without leading zeros';
    context.addIssue({ code: 'custom', path: [key], input: biases[key], message });
  })
  .refine((biases) => Object.keys(biases).length <= MAX_LISTED_TOKENS, { error: BIAS_ERROR });

const TOP_P = 'give a number over 0, up to 1';

const SHARE = 'give true, false, or a share of the tokens: a number over 0, up to 1';
const share = z.number({ error: SHARE }).gt(0, { error: SHARE }).max(1, { error: SHARE });

/** Which model, and who asks. */
export const commonFields = {
  model: z.string({ error: 'give the name of a model' }).nullish(),
  user: z.string({ error: 'give a text' }).nullish(),
};

/** How tokens are chosen. */
export const samplingFields = {
  temperature: number(0, 100),
  top_p: z.number({ error: TOP_P }).gt(0, { error: TOP_P }).max(1, { error: TOP_P }).nullish(),
  top_k: integer(-1),
  min_p: number(0, 1),
  repetition_penalty: number(0.001, 1000),
  presence_penalty: number(-2, 2),
  frequency_penalty: number(-2, 2),
  seed: integer(Number.MIN_SAFE_INTEGER),
  logit_bias: logitBias.nullish(),
  allowed_token_ids: tokenList(1, MAX_ALLOWED_TOKENS),
};

/** For requests that go on in another instance of a cluster, or come from one. */
export const clusterFields = {
  kv_transfer_params: transferParams.nullish(),
  resume: resumeField.nullish(),
};

/** Fields of completions and chats alike: when output ends, what comes with it. */
export const generationFields = {
  ...clusterFields,
  ...commonFields,
  ...samplingFields,
  ...keptFields,
  n: integer(1), // with its prompts up to server.max_choices
  max_tokens: integer(0),
  min_tokens: integer(0),
  stop: shortStop.nullish(),
  stop_token_ids: tokenList(0, MAX_LISTED_TOKENS),
  ignore_eos: flag(),
  include_stop_str_in_output: flag(),
  skip_special_tokens: flag(),
  prompt_logprobs: integer(0, MAX_LOGPROBS),
  truncate_prompt_tokens: integer(-1),
  priority: integer(-(2 ** 31), 2 ** 31 - 1),
  request_id: name(),
  return_token_ids: flag(),
  return_tokens_as_token_ids: flag(),
  return_routed_experts: flag(),
  return_router_logits: z.union([z.boolean(), share], { error: SHARE }).nullish(),
  stream: flag(),
  stream_options: z
    .object({ include_usage: flag(), continuous_usage_stats: flag() }, { error: 'give an object with include_usage' })
    .nullish(),
};

/** What {@link generationFields} hold, checked. */
export type GenerationFields = z.infer<z.ZodObject<typeof generationFields>>;
