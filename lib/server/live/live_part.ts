/** The live page: its files for everybody, and what it shows for those who have the key. */
import { VERSION } from '../../config/package_files.js';
import { ApiError } from '../base/api_error.js';
import type { ServerPart } from '../base/part.js';
import { LiveFeed } from './live_feed.js';
import { LiveStream } from './live_stream.js';
import { PAGE_HEADERS, readPageFiles } from './page_files.js';

/** GET / and its files; GET /live/events: a stream of server-sent events. */
export const livePart: ServerPart = (app, { engine, config, modelName, draining }) => {
  for (const { path, contentType, content, etag } of readPageFiles()) {
    app.get(path, { config: { access: 'open' }, schema: { hide: true } }, (request, reply) => {
      void reply.headers(PAGE_HEADERS).header('etag', etag);
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(contentType).send(content);
    });
  }
  const feed = new LiveFeed(engine, { name: modelName, version: VERSION });
  const stream = new LiveStream(feed, { maxBehindBytes: config.server.max_unread_bytes });
  const close = (): void => {
    stream.close();
    feed.close();
  };
  draining.addEventListener('abort', close, { once: true });
  app.addHook('onClose', (_app, done) => {
    close();
    done();
  });
  // Without HEAD, which would watch and never end.
  app.get('/live/events', { exposeHeadRoute: false }, (_request, reply) => {
    const events = stream.open();
    if (events === null) {
      if (draining.aborted) throw new ApiError('DRAINING', 'the server ends; watch another one');
      throw new ApiError('QUEUE_FULL', `${stream.numWatchers} pages watch already, and no more can; close one`);
    }
    void reply.headers({ 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff' });
    return reply.type('text/event-stream').send(events);
  });
};
