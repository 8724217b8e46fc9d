/** The body of POST /v1/chat/completions. */
import * as z from 'zod';
import { MAX_LOGPROBS } from '../../../protocol/request.js';
import { flag, integer } from '../../base/plain_fields.js';
import { generationFields } from './fields.js';
import { refusedChatFields } from './refused_fields.js';

const MAX_MESSAGES = 4096;

const textPart = z.looseObject({ type: z.enum(['text', 'input_text', 'output_text']), text: z.string() });
const CONTENT_ERROR = 'give a text, or a list of parts {"type": "text", "text"}: this server reads text alone';
const MESSAGES_ERROR = `give a list of 1 to ${MAX_MESSAGES} messages {"role", "content"}`;

/** What an assistant called; templates see what is in it. */
export const toolCalls = z.array(z.looseObject({}), { error: 'give a list of tool calls' }).nullish();

const message = z.looseObject(
  {
    role: z
      .string({ error: 'give a role: system, user, assistant, …' })
      .min(1, { error: 'give a role: system, user, assistant, …' }),
    content: z.union([z.string(), z.array(textPart)], { error: CONTENT_ERROR }).nullish(),
    tool_calls: toolCalls,
  },
  { error: 'give a message {"role", "content"}' },
);

/** A message as a request has it; what else is in it the chat template sees as it is. */
export type MessageInput = z.infer<typeof message>;

/** What a conversation is made into a prompt from. */
export const conversationFields = {
  messages: z
    .array(message, { error: MESSAGES_ERROR })
    .min(1, { error: MESSAGES_ERROR })
    .max(MAX_MESSAGES, { error: MESSAGES_ERROR }),
  tools: z.array(z.looseObject({}), { error: 'give a list of tools' }).nullish(),
  documents: z.array(z.looseObject({}), { error: 'give a list of documents' }).nullish(),
  add_generation_prompt: flag(),
  continue_final_message: flag(),
  add_special_tokens: flag(),
  chat_template_kwargs: z.looseObject({}, { error: 'give an object' }).nullish(),
};

/** What a conversation is, checked. */
export type Conversation = z.infer<z.ZodObject<typeof conversationFields>>;

/** What the body may hold; other fields are ignored. */
export const chatRequest = z.object(
  {
    ...generationFields,
    ...conversationFields,
    max_completion_tokens: integer(0),
    logprobs: flag(),
    top_logprobs: integer(0, MAX_LOGPROBS),
    reasoning_effort: z.string({ error: 'give a text' }).nullish(),
    ...refusedChatFields,
  },
  { error: 'give a JSON object' },
);

/** A checked body. */
export type ChatRequest = z.infer<typeof chatRequest>;
