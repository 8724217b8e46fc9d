/** Names of requests in logs, traces and answers. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** What the client calls the request in X-Request-Id, where that is fit for logs; otherwise a new name. */
export function requestIdOf({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}
