/** Whether the server lives and takes requests, and what it is. */
import { VERSION } from '../config/package_files.js';
import { ApiError } from './base/api_error.js';
import { apiErrorOf } from './http/error_answers.js';
import type { ServerPart } from './base/part.js';

/** GET /health, GET and POST /ping: 200, or 503 once the engine failed or the server drains. GET /version. */
export const healthPart: ServerPart = (app, { engine, draining }) => {
  const check = (): object => {
    if (engine.failure !== null) throw apiErrorOf(engine.failure, engine.failure);
    if (draining.aborted) throw new ApiError('DRAINING', 'the server ends; ask another one');
    return {};
  };
  const config = { access: 'open' } as const;
  app.get('/health', { config }, check);
  app.get('/ping', { config }, check);
  app.post('/ping', { config }, check);
  app.get('/version', { config }, () => ({ version: VERSION }));
};
