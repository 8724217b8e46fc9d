/** POST /v1/chat/completions. */
import type { FastifyReply } from 'fastify';
import { ApiError } from '../base/api_error.js';
import type { ServerContext } from '../base/part.js';
import type { AnswerHead } from '../journal/kept_request.js';
import { clientSignal } from '../http/client_signal.js';
import { dataFrame, DONE_FRAME } from '../http/event_stream.js';
import { chatSettingsOf } from '../../tokenizer/chat_template.js';
import type { AnswerForm } from './answer_streams.js';
import { answer, type OpenAiPart } from './answers.js';
import { ChatForm } from './chat_form.js';
import { chatRequest, type ChatRequest } from './requests/chat_request.js';
import { choicesOf, fitting, type Choice } from './requests/choices.js';
import { checkModel } from './models.js';
import { Prompts } from './requests/prompts.js';
import { readSamplingDefaults, type SamplingDefaults } from './requests/sampling_defaults.js';
import { checkStream, usageToldBy } from './requests/stream_options.js';
import { TokenNames } from './token_names.js';
import { UsageCounter } from './usage.js';

/** POST /v1/chat/completions. */
export const chatPart: OpenAiPart = async (app, context) => {
  const defaults = await readSamplingDefaults(context.config.model);
  app.post('/v1/chat/completions', { schema: { body: chatRequest } }, async (request, reply) => {
    const { body } = request;
    check(body, context);
    const choices = await choicesFor(body, reply, context, defaults);
    return answer(request, reply, context, { endpoint: 'chat', body, choices, formOf: chatAnswer });
  });
};

/** The answer to a request, of which `body` may lack the conversation. */
export function chatAnswer(
  head: AnswerHead,
  body: Omit<ChatRequest, 'messages'>,
  choices: readonly Choice[],
  { engine }: Pick<ServerContext, 'engine'>,
): AnswerForm {
  const form = new ChatForm(head, body, new TokenNames(engine.tokenizer, body.return_tokens_as_token_ids === true));
  const usage = new UsageCounter(choices);
  const told = usageToldBy(body);
  return {
    whole: (deltas) => {
      for (const delta of deltas) usage.add(delta);
      return form.answer(deltas, usage.usage);
    },
    opening: () => '',
    frames: (deltas) => {
      for (const delta of deltas) usage.add(delta);
      return form
        .chunks(deltas, told.always ? usage.usage : null)
        .map(dataFrame)
        .join('');
    },
    closing: () => (told.atEnd ? dataFrame(form.chunk([], usage.usage)) : '') + DONE_FRAME,
    failing: (error) => dataFrame(error.body),
  };
}

function check(body: ChatRequest, context: ServerContext): void {
  checkModel(body.model, context);
  checkStream(body);
  if (body.top_logprobs != null && body.top_logprobs > 0 && body.logprobs !== true) {
    throw new ApiError('INVALID_VALUE', 'top_logprobs come with logprobs alone; set logprobs', {
      param: 'top_logprobs',
    });
  }
  for (const field of ['max_tokens', 'max_completion_tokens'] as const) {
    if (body[field] === 0) {
      throw new ApiError('INVALID_VALUE', `${field} is 0; give a whole number from 1`, { param: field });
    }
  }
}

async function choicesFor(
  body: ChatRequest,
  reply: FastifyReply,
  { engine, longTexts, config, ending }: ServerContext,
  defaults: SamplingDefaults,
): Promise<readonly Choice[]> {
  const effort = body.reasoning_effort;
  const prompt = await new Prompts(engine, longTexts, chatSettingsOf(config.generate)).chat(body, {
    addSpecialTokens: body.add_special_tokens ?? false, // the template writes them
    truncate: body.truncate_prompt_tokens,
    signal: clientSignal(reply, ending),
    ...(effort != null && { variables: { reasoning_effort: effort } }),
  });
  const param = body.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens';
  const { maxNewTokens } = fitting(prompt, engine, body[param], param);
  return choicesOf([prompt], body, defaults, config.server.max_choices, () => ({
    maxNewTokens,
    logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : null,
    promptLogprobs: body.prompt_logprobs ?? null,
    id: body.request_id ?? reply.request.id,
  }));
}
