/** When nobody waits for an answer any more. */
import type { FastifyReply } from 'fastify';
import { ApiError } from '../base/api_error.js';

/** Aborted when the client goes away, and when the server breaks off what runs: then with the error that the client is told. */
export function clientSignal(reply: FastifyReply, ending: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const { raw } = reply;
  const onEnding = (): void =>
    controller.abort(new ApiError('DRAINING', 'the server ended before the answer was complete; ask another one'));
  const onClose = (): void => {
    ending.removeEventListener('abort', onEnding);
    controller.abort();
  };
  ending.addEventListener('abort', onEnding, { once: true });
  raw.once('close', onClose);
  if (ending.aborted) onEnding();
  if (raw.destroyed) onClose();
  return controller.signal;
}
