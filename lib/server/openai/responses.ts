/** POST /v1/responses. Nothing is stored but in a journal: a response can't be continued by its id. */
import type { FastifyReply } from 'fastify';
import type { ServerContext } from '../base/part.js';
import type { AnswerHead } from '../journal/kept_request.js';
import { clientSignal } from '../http/client_signal.js';
import { chatSettingsOf } from '../../tokenizer/chat_template.js';
import type { AnswerForm } from './answer_streams.js';
import { answer, type OpenAiPart } from './answers.js';
import { choicesOf, fitting, type Choice } from './requests/choices.js';
import { checkModel } from './models.js';
import { Prompts } from './requests/prompts.js';
import { ResponseForm } from './response_form.js';
import { LOGPROBS_INCLUDE, responsesRequest, type ResponsesRequest } from './requests/responses_request.js';
import { readSamplingDefaults, type SamplingDefaults } from './requests/sampling_defaults.js';
import { TokenNames } from './token_names.js';
import { UsageCounter } from './usage.js';

/** POST /v1/responses. */
export const responsesPart: OpenAiPart = async (app, context) => {
  const defaults = await readSamplingDefaults(context.config.model);
  app.post('/v1/responses', { schema: { body: responsesRequest } }, async (request, reply) => {
    const { body } = request;
    checkModel(body.model, context);
    const choices = [await choiceFor(body, reply, context, defaults)];
    return answer(request, reply, context, { endpoint: 'responses', body, choices, formOf: responseAnswer });
  });
};

/** The answer to a request, of which `body` may lack the input. */
export function responseAnswer(
  head: AnswerHead,
  body: Omit<ResponsesRequest, 'input'>,
  choices: readonly Choice[],
  { engine }: Pick<ServerContext, 'engine'>,
): AnswerForm {
  const { temperature = 0, topP = 1 } = choices[0]!.request.sampling!;
  const form = new ResponseForm(head, body, new TokenNames(engine.tokenizer, false), { temperature, top_p: topP });
  const usage = new UsageCounter(choices);
  return {
    whole: ([delta]) => {
      usage.add(delta!);
      return form.answer(delta!, usage.usage);
    },
    opening: () => form.opening(),
    frames: (deltas) => {
      for (const delta of deltas) usage.add(delta);
      return deltas.map((delta) => form.piece(delta)).join('');
    },
    closing: () => form.closing(usage.usage),
    failing: (error) => form.failing(error),
  };
}

async function choiceFor(
  body: ResponsesRequest,
  reply: FastifyReply,
  { engine, longTexts, config, ending }: ServerContext,
  defaults: SamplingDefaults,
): Promise<Choice> {
  const input = typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : body.input;
  const system = body.instructions == null ? [] : [{ role: 'system', content: body.instructions }];
  const messages = [...system, ...input];
  const prompt = await new Prompts(engine, longTexts, chatSettingsOf(config.generate)).chat(
    { messages },
    { signal: clientSignal(reply, ending) },
  );
  const wantsLogprobs = Array.isArray(body.include) && body.include.includes(LOGPROBS_INCLUDE);
  const { maxNewTokens } = fitting(prompt, engine, body.max_output_tokens, 'max_output_tokens');
  const [choice] = choicesOf([prompt], body, defaults, 1, () => ({
    maxNewTokens,
    logprobs: wantsLogprobs ? (body.top_logprobs ?? 0) : null,
    promptLogprobs: null,
    id: body.request_id ?? reply.request.id,
  }));
  return choice!;
}
