/** When nobody waits for an answer any more. */
import type { FastifyReply } from 'fastify';

/** Aborted when the client goes away, and when `ending` is: then with its reason, the error that the client is told. */
export function clientSignal(reply: FastifyReply, ending: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const { raw } = reply;
  const onEnding = (): void => controller.abort(ending.reason);
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
