/** POST /v1/completions. */
import type { FastifyReply } from 'fastify';
import { ApiError } from '../base/api_error.js';
import type { ServerContext } from '../base/part.js';
import type { AnswerHead } from '../journal/kept_request.js';
import { clientSignal } from '../http/client_signal.js';
import { dataFrame, DONE_FRAME } from '../http/event_stream.js';
import type { AnswerForm } from './answer_streams.js';
import { answer, type OpenAiPart } from './answers.js';
import { choicesOf, fitting, type Choice, type Wanted } from './requests/choices.js';
import { CompletionForm } from './completion_form.js';
import { completionRequest, promptsOf, type CompletionRequest } from './requests/completion_request.js';
import { checkModel } from './models.js';
import { Prompts, type Prompt } from './requests/prompts.js';
import { readSamplingDefaults, type SamplingDefaults } from './requests/sampling_defaults.js';
import { checkStream, usageToldBy } from './requests/stream_options.js';
import { TokenNames } from './token_names.js';
import { UsageCounter } from './usage.js';

/** OpenAI's, of a request that doesn't say. */
const DEFAULT_MAX_TOKENS = 16;

/** POST /v1/completions. */
export const completionsPart: OpenAiPart = async (app, context) => {
  const defaults = await readSamplingDefaults(context.config.model);
  app.post('/v1/completions', { schema: { body: completionRequest } }, async (request, reply) => {
    const { body } = request;
    check(body, context);
    const choices = await choicesFor(body, reply, context, defaults);
    return answer(request, reply, context, { endpoint: 'completions', body, choices, formOf: completionAnswer });
  });
};

/** The answer to a request, of which `body` may lack the prompt. */
export function completionAnswer(
  head: AnswerHead,
  body: Omit<CompletionRequest, 'prompt'>,
  choices: readonly Choice[],
  { engine }: Pick<ServerContext, 'engine'>,
): AnswerForm {
  const names = new TokenNames(engine.tokenizer, body.return_tokens_as_token_ids === true);
  const form = new CompletionForm(head, body, names, (ids) => engine.tokenizer?.decode(ids) ?? '');
  const usage = new UsageCounter(choices);
  const told = usageToldBy(body);
  return {
    whole: (deltas) => {
      for (const delta of deltas) usage.add(delta);
      return form.answer(deltas, usage.usage);
    },
    opening: () => '',
    frames: (deltas) =>
      deltas
        .map((delta) => {
          usage.add(delta);
          return dataFrame(form.answer([delta], told.always ? usage.usage : null));
        })
        .join(''),
    closing: () => (told.atEnd ? dataFrame(form.answer([], usage.usage)) : '') + DONE_FRAME,
    failing: (error) => dataFrame(error.body),
  };
}

function check(body: CompletionRequest, context: ServerContext): void {
  checkModel(body.model, context);
  checkStream(body);
  const { best_of: bestOf, n } = body;
  if (bestOf != null && bestOf !== (n ?? 1)) {
    throw new ApiError(
      'UNSUPPORTED',
      `this server has no best_of: it is ${bestOf}, and n is ${n ?? 1}; leave it out, and ask for n`,
      {
        param: 'best_of',
      },
    );
  }
  if (body.max_tokens === 0 && body.echo !== true) {
    throw new ApiError('INVALID_VALUE', 'max_tokens is 0; give a whole number from 1, or set echo', {
      param: 'max_tokens',
    });
  }
}

async function choicesFor(
  body: CompletionRequest,
  reply: FastifyReply,
  context: ServerContext,
  defaults: SamplingDefaults,
): Promise<readonly Choice[]> {
  const prompts = new Prompts(context.engine, context.longTexts);
  const { add_special_tokens: addSpecialTokens, truncate_prompt_tokens: truncate } = body;
  const signal = clientSignal(reply, context.ending);
  const options = { addSpecialTokens: addSpecialTokens ?? true, truncate, signal };
  const echoed = body.echo === true ? body.logprobs : null;
  const wantedFor = (prompt: Prompt): Wanted => {
    const { room } = fitting(prompt, context.engine, body.max_tokens, 'max_tokens');
    const maxNewTokens = body.max_tokens ?? Math.min(DEFAULT_MAX_TOKENS, room);
    return {
      maxNewTokens,
      logprobs: body.logprobs ?? null,
      promptLogprobs: most(echoed, body.prompt_logprobs, maxNewTokens === 0 ? 0 : null), // who wants no token has to want these
      id: body.request_id ?? reply.request.id,
    };
  };
  const given = promptsOf(body);
  if (given.length > context.config.server.max_choices) {
    throw new ApiError(
      'INVALID_VALUE',
      `there are ${given.length} prompts, more than server.max_choices, ${context.config.server.max_choices}; send fewer`,
      { param: 'prompt' },
    );
  }
  const read: Prompt[] = [];
  for (const prompt of given) read.push(await prompts.read(prompt, options)); // one at a time: others' long texts come between
  return choicesOf(read, body, defaults, context.config.server.max_choices, wantedFor);
}

/** The larger of two numbers that may be absent. */
function most(...counts: readonly (number | null | undefined)[]): number | null {
  const given = counts.filter((count) => count != null);
  return given.length === 0 ? null : Math.max(...given);
}
