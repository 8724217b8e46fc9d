/** A server without a network over a played engine. */
import { loadConfig } from '../../../lib/config/load.js';
import type { PartialConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import type { ErrorBody } from '../../../lib/server/base/api_error.js';
import type { ServerOptions } from '../../../lib/server/base/options.js';
import type { ServerApp } from '../../../lib/server/base/part.js';
import { createServer, type HttpServer } from '../../../lib/server/create_server.js';
import { PlayedEngine, playText } from './played_engine.js';

/** Its options: keys of the configuration, and whatever else `createServer` takes. */
export interface ServedAppOptions extends Omit<ServerOptions, 'config'> {
  readonly base?: PartialConfig;
  readonly engine?: PlayedEngine;
}

export async function servedApp({ base, engine, ...rest }: ServedAppOptions = {}): Promise<{
  readonly app: ServerApp;
  readonly server: HttpServer;
  readonly engine: PlayedEngine;
}> {
  const config = await loadConfig({ base: { model: DEMO_MODEL, ...base } });
  const served = engine ?? new PlayedEngine(playText(''));
  const server = await createServer(served, { config, ...rest });
  return { app: server.app, server, engine: served };
}

/** The error in an answer. */
export const errorOf = (answer: { readonly body: string }): ErrorBody['error'] =>
  (JSON.parse(answer.body) as ErrorBody).error;
