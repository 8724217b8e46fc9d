/** Fields that several endpoints have, under OpenAI's and vLLM's names. Null is as good as absent. Why: docs/decisions/serving.md#which-fields-are-refused */
import * as z from 'zod';
import { MAX_LOGPROBS } from '../../../protocol/request.js';

/** Of stop strings; the engine takes no more. */
const MAX_STOPS = 1024;
/** Of tokens that a list in a request may name, and of biases. */
const MAX_TOKEN_LIST = 4096;
const MAX_NAME_CHARS = 128;

/** A number of a range. */
export const number = (min: number, max: number) => {
  const error = `give a number from ${min} to ${max}`;
  return z.number({ error }).min(min, { error }).max(max, { error }).nullish();
};

/** A whole number of a range. */
export const integer = (min: number, max: number = Number.MAX_SAFE_INTEGER) => {
  const error =
    max === Number.MAX_SAFE_INTEGER ? `give a whole number from ${min}` : `give a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error }).nullish();
};

/** True or false. */
export const flag = () => z.boolean({ error: 'give true or false' }).nullish();

/** A short text. */
export const name = () => {
  const error = `give a text of up to ${MAX_NAME_CHARS} characters`;
  return z.string({ error }).max(MAX_NAME_CHARS, { error }).nullish();
};

const tokenList = (min: number) => {
  const error = `give a list of ${min} to ${MAX_TOKEN_LIST} token ids`;
  return z
    .array(z.int({ error }).min(0, { error }), { error })
    .min(min, { error })
    .max(MAX_TOKEN_LIST, { error })
    .nullish();
};

const stop = z.union([z.string().min(1), z.array(z.string().min(1)).max(MAX_STOPS)], {
  error: `give a text, or a list of up to ${MAX_STOPS} texts, none of them empty`,
});

const BIAS_ERROR = `give an object from token ids to numbers from -100 to 100, of up to ${MAX_TOKEN_LIST} tokens`;
const logitBias = z
  .record(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100), { error: BIAS_ERROR })
  .refine((biases) => Object.keys(biases).length <= MAX_TOKEN_LIST, { error: BIAS_ERROR });

const TOP_P = 'give a number over 0, up to 1';

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
  seed: integer(0),
  logit_bias: logitBias.nullish(),
  allowed_token_ids: tokenList(1),
};

/** Fields of completions and chats alike: when output ends, what comes with it. */
export const generationFields = {
  ...commonFields,
  ...samplingFields,
  n: integer(1, 65_536),
  max_tokens: integer(0),
  min_tokens: integer(0),
  stop: stop.nullish(),
  stop_token_ids: tokenList(0),
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
  stream: flag(),
  stream_options: z
    .object({ include_usage: flag(), continuous_usage_stats: flag() }, { error: 'give an object with include_usage' })
    .nullish(),
};

/** What {@link generationFields} hold, checked. */
export type GenerationFields = z.infer<z.ZodObject<typeof generationFields>>;
