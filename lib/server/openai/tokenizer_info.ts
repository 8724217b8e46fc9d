/** GET /tokenizer_info, in vLLM's form: evaluation harnesses tokenize with the server then. */
import type { ServerPart } from '../base/part.js';
import { Prompts } from './requests/prompts.js';

/** GET /tokenizer_info: special tokens as they are spelled, and the chat template. */
export const tokenizerInfoPart: ServerPart = (app, { engine, longTexts, config }) => {
  const prompts = new Prompts(engine, longTexts);
  app.get('/tokenizer_info', () => {
    const { specialTokens, chatTemplates } = prompts.tokenizer;
    const chatTemplate = chatTemplates.sources.get(config.generate.chat_template ?? 'default');
    return {
      ...specialTokens,
      ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
      model_max_length: engine.limits.maxModelLen,
    };
  });
};
