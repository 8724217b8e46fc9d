/** The body of POST /v1/responses: text in, text out. */
import * as z from 'zod';
import { MAX_LOGPROBS } from '../../../protocol/request.js';
import { toolCalls } from './chat_request.js';
import { flag, integer, name } from '../../base/plain_fields.js';
import { clusterFields, commonFields, samplingFields } from './fields.js';
import { keptFields } from './kept_fields.js';
import { refused } from './refused_fields.js';

const MAX_ITEMS = 4096;
const ITEMS_ERROR = `give a text, or a list of 1 to ${MAX_ITEMS} messages {"role", "content"} whose content is text`;

const part = z.looseObject({ type: z.enum(['input_text', 'output_text', 'text']), text: z.string() });
const item = z.looseObject({
  type: z.literal('message').nullish(),
  role: z.string().min(1),
  content: z.union([z.string(), z.array(part)]),
  tool_calls: toolCalls,
});

/** As answers tell it: `{"effort": null, "summary": null}`. */
const isAllNull = (value: unknown): boolean =>
  typeof value === 'object' && Object.values(value!).every((each) => each === null);
/** The one thing that can be included. */
export const LOGPROBS_INCLUDE = 'message.output_text.logprobs';

/** What it may hold; other fields are ignored. */
export const responsesRequest = z.object(
  {
    ...commonFields,
    ...samplingFields,
    ...keptFields,
    ...clusterFields,
    input: z.union([z.string(), z.array(item).min(1).max(MAX_ITEMS)], { error: ITEMS_ERROR }),
    instructions: z.string({ error: 'give a text' }).nullish(),
    max_output_tokens: integer(1),
    top_logprobs: integer(0, MAX_LOGPROBS),
    metadata: z.record(z.string(), z.string(), { error: 'give an object of texts' }).nullish(),
    stream: flag(),
    store: flag(),
    request_id: name(),
    priority: integer(-(2 ** 31), 2 ** 31 - 1),
    include: refused(
      `include but ["${LOGPROBS_INCLUDE}"]`,
      (value) => Array.isArray(value) && value.every((each) => each === LOGPROBS_INCLUDE),
    ),
    previous_response_id: refused('stored responses (previous_response_id); give the whole conversation as input'),
    conversation: refused('stored conversations (conversation); give the whole conversation as input'),
    prompt: refused('stored prompts (prompt)'),
    background: refused('background responses (background)'),
    tools: refused('tools in responses; /v1/chat/completions passes them to the chat template'),
    tool_choice: refused('forced tool calls (tool_choice)', (value) => value === 'none' || value === 'auto'),
    text: refused('structured output: text.format can be {"type": "text"} alone', (value) => isText(value)),
    reasoning: refused('reasoning', isAllNull),
    truncation: refused('truncation but "disabled"', (value) => value === 'disabled'),
  },
  { error: 'give a JSON object' },
);

/** A checked body. */
export type ResponsesRequest = z.infer<typeof responsesRequest>;

function isText(value: unknown): boolean {
  const { format } = (value ?? {}) as { readonly format?: { readonly type?: unknown } | null };
  return format == null || format.type === 'text';
}
