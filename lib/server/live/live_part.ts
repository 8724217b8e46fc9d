/** The live page: its files for everybody, and what it shows for those who have the key. */
import { VERSION } from '../../config/package_files.js';
import type { ServerPart } from '../base/part.js';
import { LiveFeed } from './live_feed.js';
import { feedRoute, pageRoutes } from './live_routes.js';
import { LiveStream } from './live_stream.js';

/** GET / and its files; GET /live/events: a stream of server-sent events. */
export const livePart: ServerPart = (app, { engine, config, modelName, draining }) => {
  pageRoutes(app);
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
  feedRoute(app, stream);
};
