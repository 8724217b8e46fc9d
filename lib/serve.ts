/** The server as the library offers it: what it is made of is loaded by the first call. */
import type { ServerOptions } from './server/base/options.js';
import type { ServedEngine } from './server/base/served_engine.js';
import type { HttpServer } from './server/create_server.js';

/**
 * An engine behind HTTP, as OpenAI's clients know it. `listen` makes it reachable; the engine stays its caller's to close.
 * Why: docs/decisions/serving.md#loaded-by-who-serves
 */
export async function createServer(engine: ServedEngine, options: ServerOptions): Promise<HttpServer> {
  const server = await import('./server/create_server.js');
  return server.createServer(engine, options);
}
