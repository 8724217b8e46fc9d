/** /v1/files, as OpenAI's clients know it. */
import * as z from 'zod';
import type { ServerApp } from '../base/part.js';
import type { BatchRoutesParts } from './batch_routes.js';
import { pageFields, pageOf } from './pages.js';
import { FILE_PURPOSES, fileJson } from './stored_file.js';
import { uploadRoute } from './upload_route.js';

/** POST and GET /v1/files, GET and DELETE /v1/files/ID, GET /v1/files/ID/content. */
export async function fileRoutes(app: ServerApp, parts: BatchRoutesParts): Promise<void> {
  const { batches, callerOf } = parts;
  const { files } = batches;
  await uploadRoute(app, parts);
  const purpose = z.string({ error: `give one of ${FILE_PURPOSES.join(', ')}` }).nullish();
  const querystring = z.object({ ...pageFields(10_000, 10_000), purpose });
  const params = z.object({ id: z.string() });
  app.get('/v1/files', { schema: { querystring } }, (request) => {
    const own = files.list(callerOf(request));
    const { purpose: wanted } = request.query;
    return pageOf(wanted == null ? own : own.filter((file) => file.purpose === wanted), request.query, fileJson);
  });
  app.get('/v1/files/:id', { schema: { params } }, (request) =>
    fileJson(files.find(request.params.id, callerOf(request), 'file_id')),
  );
  app.get('/v1/files/:id/content', { schema: { params } }, async (request, reply) => {
    const { id, bytes } = files.find(request.params.id, callerOf(request), 'file_id');
    const content = await files.content(id);
    return reply.header('content-length', bytes).type('application/octet-stream').send(content);
  });
  app.delete('/v1/files/:id', { schema: { params } }, async (request) => {
    const { id } = request.params;
    await files.remove(id, callerOf(request));
    return { id, object: 'file', deleted: true };
  });
}
