/** The batches of a router: their lines go to instances as other requests do. */
import type { Logger } from 'pino';
import { BATCH_ENDPOINTS } from '../../batches/batch_line.js';
import type { BatchesHost } from '../../server/batches/batches.js';
import { LAST_PRIORITY } from '../../server/batches/served_batches.js';
import type { InnerRequests } from '../../server/http/inner_requests.js';
import type { InstanceView } from '../base/instance_view.js';

/** What they take. */
export interface RoutedBatchesParts extends Pick<BatchesHost, 'config' | 'draining'> {
  readonly views: () => readonly InstanceView[];
  readonly log: Logger;
}

/** They wait while requests wait in all instances. Servers of others may refuse a priority. */
export function routedBatches({ config, draining, views, log }: RoutedBatchesParts, inner: InnerRequests): BatchesHost {
  const bodyOf = (body: object): object =>
    views().some(({ record }) => record.kind === 'foreign') ? body : { ...body, priority: LAST_PRIORITY };
  return {
    ...{ config, endpoints: BATCH_ENDPOINTS, draining, log },
    ask: ({ url, body }, id, signal) => inner.post({ url, id, body: bodyOf(body) }, signal),
    isBusy: () => views().length > 0 && views().every(({ load }) => (load?.numWaiting ?? 0) > 0),
  };
}
