/** POST /v1/responses. Nothing is stored: a response can't be asked for later, or continued by its id. */
import type { FastifyReply } from 'fastify';
import type { ServerContext, ServerPart } from '../base/part.js';
import { clientSignal } from '../http/client_signal.js';
import { chatSettingsOf } from '../../tokenizer/chat_template.js';
import { answerStream, answerWhole } from './answer_streams.js';
import { choicesOf, fitting, type Choice } from './requests/choices.js';
import { nowS } from './completions.js';
import { checkModel } from './models.js';
import { Prompts } from './requests/prompts.js';
import { ResponseForm } from './response_form.js';
import { LOGPROBS_INCLUDE, responsesRequest, type ResponsesRequest } from './requests/responses_request.js';
import { readSamplingDefaults, type SamplingDefaults } from './requests/sampling_defaults.js';
import { TokenNames } from './token_names.js';
import { UsageCounter } from './usage.js';

/** POST /v1/responses. */
export const responsesPart: ServerPart = async (app, context) => {
  const defaults = await readSamplingDefaults(context.config.model);
  app.post('/v1/responses', { schema: { body: responsesRequest } }, async (request, reply) => {
    const { body } = request;
    checkModel(body.model, context);
    const choices = [await choiceFor(body, reply, context, defaults)];
    const head = { id: `resp_${body.request_id ?? request.id}`, created: nowS(), model: context.modelName };
    const form = new ResponseForm(head, body, new TokenNames(context.engine.tokenizer, false), {
      temperature: body.temperature ?? defaults.temperature,
      top_p: body.top_p ?? defaults.top_p,
    });
    const usage = new UsageCounter(choices);
    if (body.stream === true) {
      return answerStream(reply, context, choices, {
        opening: () => form.opening(),
        frames: (deltas) => {
          for (const delta of deltas) usage.add(delta);
          return deltas.map((delta) => form.piece(delta)).join('');
        },
        closing: () => form.closing(usage.usage),
        failing: (error) => form.failing(error),
      });
    }
    const [delta] = await answerWhole(reply, context, choices);
    usage.add(delta!);
    return form.answer(delta!, usage.usage);
  });
};

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
