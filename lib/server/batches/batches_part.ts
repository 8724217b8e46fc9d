/** Files and batches, as a part of a server. */
import type { ServerApp } from '../base/part.js';
import { batchRoutes, type BatchRoutesParts } from './batch_routes.js';
import { fileRoutes } from './file_routes.js';

/** /v1/files and /v1/batches; what an earlier server left goes on when the application is ready. */
export async function batchesPart(app: ServerApp, parts: BatchRoutesParts): Promise<void> {
  app.addHook('onReady', (done) => {
    parts.batches.begin();
    done();
  });
  await fileRoutes(app, parts);
  batchRoutes(app, parts);
}
