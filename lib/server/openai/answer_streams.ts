/** Answers of the engine as they go to clients: whole, or as events while they come. */
import type { FastifyReply } from 'fastify';
import { ApiError } from '../base/api_error.js';
import type { ServerContext } from '../base/part.js';
import { apiErrorOf, isFailure } from '../http/error_answers.js';
import { EventStream } from '../http/event_stream.js';
import { wholeChoices, type Delta } from './requests/choice_deltas.js';
import type { Choice } from './requests/choices.js';

/** What an endpoint makes of what comes of its choices. */
export interface AnswerForm {
  /** The whole answer, of one delta for each choice. */
  readonly whole: (deltas: readonly Delta[]) => object;
  /** Frames before anything came; ''. */
  readonly opening: () => string;
  readonly frames: (deltas: readonly Delta[]) => string;
  /** Frames after all is told. */
  readonly closing: () => string;
  /** Frames that tell of an error, after which nothing comes. */
  readonly failing: (error: ApiError) => string;
}

/** What comes of choices, and who waits for it. */
export interface Coming {
  readonly choices: readonly Choice[];
  readonly deltas: AsyncIterable<readonly Delta[]>;
  /** Of the client. */
  readonly signal: AbortSignal;
}

/** Waits for all choices. @throws ApiError, EngineError */
export async function answerWhole({ choices, deltas, signal }: Coming, form: AnswerForm): Promise<object> {
  try {
    return form.whole(await wholeChoices(choices, deltas));
  } catch (error) {
    throw nearest(error, signal);
  }
}

/**
 * Sends what comes of the choices as events. What is wrong with a request is known before the first event, and answered with a status; what happens later is told
 * in the stream, which ends then. When the client is gone, or doesn't read, nothing more is asked for.
 * Why: docs/decisions/serving.md#errors-before-and-after-the-first-event
 */
export async function answerStream(
  reply: FastifyReply,
  { engine, config }: ServerContext,
  { deltas, signal }: Coming,
  form: AnswerForm,
): Promise<void> {
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
export const nearest = (thrown: unknown, { reason }: AbortSignal): unknown =>
  reason instanceof ApiError ? reason : thrown;
