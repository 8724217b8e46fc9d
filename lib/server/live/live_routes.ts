/** The routes of a live page, whoever feeds it. */
import { ApiError } from '../base/api_error.js';
import type { ServerApp } from '../base/part.js';
import type { LiveStream } from './live_stream.js';
import { PAGE_HEADERS, readPageFiles } from './page_files.js';

/** Adds GET / and the page's files, for everybody. */
export function pageRoutes(app: ServerApp): void {
  for (const { path, contentType, content, etag } of readPageFiles()) {
    app.get(path, { config: { access: 'open' }, schema: { hide: true } }, (request, reply) => {
      void reply.headers(PAGE_HEADERS).header('etag', etag);
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(contentType).send(content);
    });
  }
}

/** Adds GET /live/events, a stream of server-sent events, for those who have the key; without HEAD, which would watch and never end. */
export function feedRoute(app: ServerApp, stream: LiveStream): void {
  app.get('/live/events', { exposeHeadRoute: false }, (_request, reply) => {
    const events = stream.open();
    if (events === null) {
      if (stream.isClosed) throw new ApiError('DRAINING', 'the server ends; watch another one');
      throw new ApiError('QUEUE_FULL', `${stream.numWatchers} pages watch already, and no more can; close one`);
    }
    void reply.headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff' });
    return reply.type('text/event-stream').send(events);
  });
}
