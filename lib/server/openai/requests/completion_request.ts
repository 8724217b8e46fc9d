/** The body of POST /v1/completions. */
import * as z from 'zod';
import { MAX_LOGPROBS } from '../../../protocol/request.js';
import { flag, integer } from '../../base/plain_fields.js';
import { generationFields } from './fields.js';
import { refusedCompletionFields } from './refused_fields.js';

/** One prompt: text, or token ids. */
export type PromptInput = string | readonly number[];

const isTokens = (value: unknown): value is number[] => Array.isArray(value) && value.every(Number.isSafeInteger);
const isPrompt = (value: unknown): value is PromptInput => typeof value === 'string' || isTokens(value);
// A list of numbers is one prompt, whatever is in it; a list of anything else holds several.
const isPrompts = (value: unknown): value is PromptInput | readonly PromptInput[] =>
  isPrompt(value) || (Array.isArray(value) && value.every(isPrompt));

const DESCRIPTION = 'a text, a list of token ids, or a list of either';

/** What it may hold; other fields are ignored. */
export const completionRequest = z.object(
  {
    ...generationFields,
    prompt: z.custom<PromptInput | readonly PromptInput[]>(isPrompts, `give ${DESCRIPTION}`).meta({
      description: DESCRIPTION,
      anyOf: [
        { type: 'string' },
        { type: 'array', items: { type: 'string' } },
        { type: 'array', items: { type: 'integer' } },
        { type: 'array', items: { type: 'array', items: { type: 'integer' } } },
      ],
    }),
    best_of: integer(1),
    echo: flag(),
    logprobs: integer(0, MAX_LOGPROBS),
    add_special_tokens: flag(),
    ...refusedCompletionFields,
  },
  { error: 'give a JSON object' },
);

/** A checked body. */
export type CompletionRequest = z.infer<typeof completionRequest>;

/** Its prompts, one or several. */
export function promptsOf({ prompt }: Pick<CompletionRequest, 'prompt'>): readonly PromptInput[] {
  const isOne = typeof prompt === 'string' || prompt.length === 0 || typeof prompt[0] === 'number';
  return isOne ? [prompt as PromptInput] : (prompt as readonly PromptInput[]);
}
