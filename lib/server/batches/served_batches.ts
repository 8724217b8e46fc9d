/** The batches of a server with an engine of its own. Why: docs/decisions/batches.md#last-of-all */
import type { ServerContext } from '../base/part.js';
import type { InnerRequests } from '../http/inner_requests.js';
import type { BatchesHost } from './batches.js';

/** What a server with an engine has. */
const ENDPOINTS = ['/v1/chat/completions', '/v1/completions', '/v1/responses'] as const;

/** Behind everybody, where `engine.scheduling` is `priority`. */
export const LAST_PRIORITY = 2 ** 31 - 1;

/** Its lines are requests to itself. */
export const servedBatches = (
  { engine, config, draining, log }: Pick<ServerContext, 'engine' | 'config' | 'draining' | 'log'>,
  inner: InnerRequests,
): BatchesHost => ({
  config: config.server,
  endpoints: ENDPOINTS,
  ask: ({ url, body }, id, signal) => inner.post({ url, id, body: { ...body, priority: LAST_PRIORITY } }, signal),
  isBusy: () => engine.load.numWaiting > 0,
  draining,
  log,
});
