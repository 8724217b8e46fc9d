/** The server: an engine behind HTTP, as OpenAI's clients know it. */
import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import { fastify, LogController, type FastifyBaseLogger } from 'fastify';
import { pino } from 'pino';
import type { ServerOptions } from './base/options.js';
import type { ServerApp, ServerContext } from './base/part.js';
import type { ServedEngine } from './base/served_engine.js';
import { answerErrors } from './http/error_answers.js';
import { collectRoutes } from './http/known_routes.js';
import { PARTS } from './parts.js';

/** A server over an engine, which stays its caller's to close. */
export interface HttpServer {
  /** The web framework's application, to add routes to, or to ask without a network. */
  readonly app: ServerApp;
  /** Listens where the configuration says. Returns the address, with the port that it got. */
  listen(): Promise<string>;
  /** Ends connections and requests. Idempotent. */
  close(): Promise<void>;
}

/** Makes a server; it doesn't listen yet. */
export async function createServer(engine: ServedEngine, options: ServerOptions): Promise<HttpServer> {
  const { config, log = pino({ level: 'silent' }) } = options;
  const loggerInstance: FastifyBaseLogger = log;
  const app: ServerApp = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    forceCloseConnections: true,
  });
  const draining = new AbortController();
  const context: ServerContext = {
    engine,
    config,
    log,
    modelName: basename(config.model),
    createdS: Math.floor(Date.now() / 1000),
    draining: draining.signal,
  };
  answerErrors(app, engine, collectRoutes(app));
  for (const part of PARTS) await part(app, context);
  return {
    app,
    listen: () => app.listen({ host: '127.0.0.1', port: 8000 }),
    close: async () => {
      draining.abort();
      await app.close();
    },
  };
}
