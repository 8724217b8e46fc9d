/** Whether the server lives and takes requests, and what it is. */
import { VERSION } from '../config/package_files.js';
import type { ServerPart } from './base/part.js';
import { endOf } from './http/server_end.js';

/** GET /health, GET and POST /ping: 200, or 503 once the engine failed or the server drains. GET /version. */
export const healthPart: ServerPart = (app, { engine, draining }) => {
  const check = (): object => {
    if (engine.failure !== null || draining.aborted) throw endOf(engine);
    return {};
  };
  const config = { access: 'open' } as const;
  app.get('/health', { config }, check);
  app.get('/ping', { config }, check);
  app.post('/ping', { config }, check);
  app.get('/version', { config }, () => ({ version: VERSION }));
};
