/** Answers of the engine as they go to clients: whole, or as events while they come. */
import type { FastifyReply } from 'fastify';
import { ApiError } from '../base/api_error.js';
import type { ServerContext } from '../base/part.js';
import { clientSignal } from '../http/client_signal.js';
import { apiErrorOf, isFailure } from '../http/error_answers.js';
import { EventStream } from '../http/event_stream.js';
import { deltasOf, wholeChoices, type Delta } from './choice_deltas.js';
import type { Choice } from './requests/choices.js';
import { checkRouterLogits } from './router_logits.js';

/** What an endpoint makes of what comes of its choices. */
export interface StreamForm {
  /** Frames before anything came; ''. */
  readonly opening: () => string;
  readonly frames: (deltas: readonly Delta[]) => string;
  /** Frames after all is told. */
  readonly closing: () => string;
  /** Frames that tell of an error, after which nothing comes. */
  readonly failing: (error: ApiError) => string;
}

/** Waits for all choices. @throws ApiError, EngineError */
export async function answerWhole(
  reply: FastifyReply,
  { engine, ending }: ServerContext,
  choices: readonly Choice[],
): Promise<readonly Delta[]> {
  checkRouterLogits(choices);
  const signal = clientSignal(reply, ending);
  try {
    return await wholeChoices(engine, choices, signal);
  } catch (error) {
    throw nearest(error, signal);
  }
}

/**
 * Sends what comes of the choices as events. What is wrong with a request is known before the first event, and answered with a status; what happens later is told
 * in the stream, which ends then. When the client is gone, or doesn't read, the engine forgets the request.
 * Why: docs/decisions/serving.md#errors-before-and-after-the-first-event
 * @throws ApiError, EngineError as long as nothing was sent
 */
export async function answerStream(
  reply: FastifyReply,
  { engine, config, ending }: ServerContext,
  choices: readonly Choice[],
  form: StreamForm,
): Promise<void> {
  checkRouterLogits(choices);
  const signal = clientSignal(reply, ending);
  const deltas = await begun(deltasOf(engine, choices, signal));
  const stream = new EventStream(reply, config.server);
  try {
    let isHeard = await stream.send(form.opening());
    for await (const delta of deltas) {
      isHeard = isHeard && (await stream.send(form.frames(delta)));
      if (!isHeard) return;
    }
    await stream.send(form.closing());
  } catch (thrown) {
    const err = nearest(thrown, signal);
    const error = apiErrorOf(err, engine.failure);
    if (isFailure(error) && !reply.raw.destroyed) reply.log.error({ err }, 'a stream failed');
    await stream.send(form.failing(error));
  } finally {
    stream.end();
  }
}

/** Why the signal was aborted says more than that the engine was told to stop. */
const nearest = (thrown: unknown, { reason }: AbortSignal): unknown => (reason instanceof ApiError ? reason : thrown);

/** Asks for the first value, and goes on once it would have failed if it could at once. @throws what it failed with */
async function begun<T>(values: AsyncGenerator<T, void, undefined>): Promise<AsyncIterable<T>> {
  const first = values.next();
  await Promise.race([first, turns(3)]);
  return (async function* () {
    try {
      for (let next = await first; next.done !== true; next = await values.next()) yield next.value;
    } finally {
      await values.return();
    }
  })();
}

/** So many rounds of the event loop. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
}
