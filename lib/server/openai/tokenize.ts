/** POST /tokenize and /detokenize, in vLLM's shapes. */
import * as z from 'zod';
import { ApiError } from '../base/api_error.js';
import type { ServerPart } from '../base/part.js';
import { clientSignal } from '../http/client_signal.js';
import { chatSettingsOf } from '../../tokenizer/chat_template.js';
import { conversationFields } from './requests/chat_request.js';
import { flag } from '../base/plain_fields.js';
import { commonFields } from './requests/fields.js';
import { checkModel } from './models.js';
import { Prompts } from './requests/prompts.js';

const tokenizeRequest = z.object(
  {
    ...commonFields,
    ...conversationFields,
    messages: conversationFields.messages.nullish(),
    prompt: z.string({ error: 'give a text, or messages' }).nullish(),
    return_token_strs: flag(),
  },
  { error: 'give a JSON object' },
);

const TOKENS_ERROR = 'give a list of token ids';
const detokenizeRequest = z.object(
  {
    ...commonFields,
    tokens: z.array(z.int({ error: TOKENS_ERROR }).min(0, { error: TOKENS_ERROR }), { error: TOKENS_ERROR }),
  },
  { error: 'give a JSON object' },
);

/** POST /tokenize and /detokenize. */
export const tokenizePart: ServerPart = (app, context) => {
  const prompts = new Prompts(context.engine, context.longTexts, chatSettingsOf(context.config.generate));
  app.post('/tokenize', { schema: { body: tokenizeRequest } }, async ({ body }, reply) => {
    checkModel(body.model, context);
    const signal = clientSignal(reply, context.ending);
    const { prompt, messages, add_special_tokens: special } = body;
    if ((prompt == null) === (messages == null)) {
      throw new ApiError('INVALID_VALUE', 'give one of prompt and messages', { param: 'prompt' });
    }
    const { tokenIds } =
      messages == null
        ? await prompts.read(prompt ?? '', { addSpecialTokens: special ?? true, signal })
        : await prompts.chat({ ...body, messages }, { addSpecialTokens: special ?? false, signal });
    return {
      count: tokenIds.length,
      max_model_len: context.engine.limits.maxModelLen,
      tokens: tokenIds,
      token_strs: body.return_token_strs === true ? tokenIds.map((id) => prompts.tokenizer.tokenOf(id) ?? '') : null,
    };
  });
  app.post('/detokenize', { schema: { body: detokenizeRequest } }, ({ body }) => {
    checkModel(body.model, context);
    return { prompt: prompts.tokenizer.decode(body.tokens, { skipSpecialTokens: false }) };
  });
};
