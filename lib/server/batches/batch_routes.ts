/** /v1/batches, as OpenAI's clients know it. */
import type { FastifyRequest } from 'fastify';
import * as z from 'zod';
import type { ServerApp } from '../base/part.js';
import type { Batches } from './batches.js';
import { batchJson } from './batch_record.js';
import { lifetimeOf, lifetimeField } from './lifetime.js';
import { pageFields, pageOf } from './pages.js';

/** What routes of files and batches take. */
export interface BatchRoutesParts {
  readonly batches: Batches;
  /** Whose a request is: nobody else sees what it leaves. */
  readonly callerOf: (request: FastifyRequest) => string;
}

const METADATA = 'give up to 16 texts of up to 512 characters, by names of up to 64';
const metadata = z
  .record(z.string().max(64, { error: METADATA }), z.string({ error: METADATA }).max(512, { error: METADATA }), {
    error: METADATA,
  })
  .refine((fields) => Object.keys(fields).length <= 16, { error: METADATA });

/** POST and GET /v1/batches, GET /v1/batches/ID, POST /v1/batches/ID/cancel. */
export function batchRoutes(app: ServerApp, { batches, callerOf }: BatchRoutesParts): void {
  const { endpoints } = batches;
  const body = z.object(
    {
      input_file_id: z.string({ error: 'give the id of a file that was uploaded for batch' }),
      endpoint: z.enum(endpoints, { error: `give one of ${endpoints.join(', ')}` }),
      completion_window: z.literal('24h', { error: 'give 24h' }),
      metadata: metadata.nullish(),
      output_expires_after: lifetimeField.nullish(),
    },
    { error: 'give a JSON object' },
  );
  const params = z.object({ id: z.string() });
  app.post('/v1/batches', { schema: { body } }, async (request) => {
    const { input_file_id: inputFileId, endpoint, metadata: given, output_expires_after: lifetime } = request.body;
    const more = { metadata: given ?? null, outputExpiresAfterS: lifetimeOf(lifetime) };
    return batchJson(await batches.create({ owner: callerOf(request), inputFileId, endpoint, ...more }));
  });
  app.get('/v1/batches', { schema: { querystring: z.object(pageFields(100, 20)) } }, (request) =>
    pageOf(batches.list(callerOf(request)), request.query, batchJson),
  );
  app.get('/v1/batches/:id', { schema: { params } }, (request) =>
    batchJson(batches.find(request.params.id, callerOf(request))),
  );
  app.post('/v1/batches/:id/cancel', { schema: { params } }, async (request) =>
    batchJson(await batches.cancel(request.params.id, callerOf(request))),
  );
}
