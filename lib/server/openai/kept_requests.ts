/** GET /v1/requests/ID: a request again, where the server keeps a journal: its client's connection may have ended with another head. */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { ApiError } from '../base/api_error.js';
import { clientSignal } from '../http/client_signal.js';
import type { Asked, KeptRequest } from '../journal/kept_request.js';
import { answerAs, type FormOf, type OpenAiContext, type OpenAiPart } from './answers.js';
import { chatAnswer } from './chat_completions.js';
import { completionAnswer } from './completions.js';
import { responseAnswer } from './responses.js';

/** GET /v1/requests/ID, whole, when it is finished, or with `?stream=true` as events from the beginning. */
export const keptRequestsPart: OpenAiPart = (app, context) => {
  const schema = {
    params: z.object({ id: z.string() }),
    querystring: z.object({ stream: z.enum(['true', 'false'], { error: 'give true or false' }).nullish() }),
  };
  app.get('/v1/requests/:id', { schema }, async (request, reply) => {
    const { id } = request.params;
    const kept = context.runs.find(id, context.callerOf(request));
    if (kept === undefined) throw notKept(id, context);
    const isStream = request.query.stream === 'true';
    const { asked, choices } = kept.record;
    const form = FORMS[asked.endpoint](asked.head, { ...asked.body, stream: isStream }, choices, context);
    const signal = clientSignal(reply, context.ending);
    const coming = { choices, signal, deltas: kept.deltas(signal) };
    return answerAs(reply, context, coming, { form, isStream });
  });
};

/** Bodies were checked when they came. */
const FORMS: Readonly<Record<Asked['endpoint'], FormOf<KeptRequest['record']['asked']['body']>>> = {
  completions: completionAnswer,
  chat: chatAnswer,
  responses: responseAnswer,
};

function notKept(id: string, { runs }: OpenAiContext): ApiError {
  const why = runs.areKept
    ? `this server keeps no request ${shown(id)}; it is another’s, was given up, or is older than what is kept`
    : `this server keeps no requests; start it with server.journal`;
  return new ApiError('NOT_FOUND', why, { param: 'id' });
}
