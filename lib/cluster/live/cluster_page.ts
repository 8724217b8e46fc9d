/** The live page of a router: the same files as an instance's, and a feed of its own. */
import type { ServerApp } from '../../server/base/part.js';
import { feedRoute, pageRoutes } from '../../server/live/live_routes.js';
import { LiveStream } from '../../server/live/live_stream.js';
import type { ClusterFeed } from './cluster_feed.js';

/** Adds GET / and its files, and GET /live/events; all end with the application. `maxBehindBytes`: that wait for one who watches. */
export function clusterPage(app: ServerApp, feed: ClusterFeed, maxBehindBytes: number): void {
  const stream = new LiveStream(feed, { maxBehindBytes });
  app.addHook('onClose', (_app, done) => {
    stream.close();
    feed.close();
    done();
  });
  pageRoutes(app);
  feedRoute(app, stream);
}
