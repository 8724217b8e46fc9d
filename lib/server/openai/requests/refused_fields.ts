/**
 * Fields that vLLM or OpenAI act upon and this server doesn't: refused by name, unless their value asks for nothing. Fields that vLLM doesn't know are ignored, as
 * it does. Why: docs/decisions/serving.md#which-fields-are-refused
 */
import * as z from 'zod';

type IsNeutral = (value: unknown) => boolean;

const isEmpty: IsNeutral = (value) =>
  value === false || value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);

/** A field that may be absent, null, or what `isNeutral` takes; anything else is refused. */
export const refused = (what: string, isNeutral: IsNeutral = isEmpty) =>
  z
    .unknown()
    .optional()
    .refine((value) => value == null || isNeutral(value), {
      error: `this server has no ${what}${what.includes('; ') ? '' : '; leave it out'}`,
      params: { isUnsupported: true },
    });

const isOneOf =
  (...values: readonly unknown[]): IsNeutral =>
  (value) =>
    values.includes(value);

const isTextAlone: IsNeutral = (value) => Array.isArray(value) && value.length === 1 && value[0] === 'text';

const isTextFormat: IsNeutral = (value) => (value as { readonly type?: unknown }).type === 'text';

/** Of completions and chats alike. */
export const refusedGenerationFields = {
  response_format: refused('structured output: response_format can be {"type": "text"} alone', isTextFormat),
  guided_json: refused('structured output (guided_json)'),
  guided_regex: refused('structured output (guided_regex)'),
  guided_choice: refused('structured output (guided_choice)'),
  guided_grammar: refused('structured output (guided_grammar)'),
  structured_outputs: refused('structured output (structured_outputs)'),
  use_beam_search: refused('beam search (use_beam_search)'),
  bad_words: refused('bad_words; logit_bias keeps single tokens out'),
  logits_processors: refused('logits_processors'),
  cache_salt: refused('cache_salt'),
  vllm_xargs: refused('vllm_xargs'),
  thinking_token_budget: refused('thinking_token_budget'),
};

/** Of completions alone. */
export const refusedCompletionFields = {
  ...refusedGenerationFields,
  suffix: refused('suffix: text can be continued, not filled in'),
  prompt_embeds: refused('prompt_embeds; give tokens or text'),
};

/** Of chats alone. */
export const refusedChatFields = {
  ...refusedGenerationFields,
  tool_choice: refused('forced tool calls: tool_choice can be "none" or "auto"', isOneOf('none', 'auto')),
  functions: refused('functions; give tools, which the chat template sees'),
  function_call: refused('forced calls: function_call can be "none" or "auto"', isOneOf('none', 'auto')),
  chat_template: refused("chat_template in requests; the model's own is used"),
  echo: refused('echo in chats'),
  mm_processor_kwargs: refused('images and sound (mm_processor_kwargs)'),
  modalities: refused('other output than text (modalities)', isTextAlone),
  audio: refused('sound (audio)'),
};
