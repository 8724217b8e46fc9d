/** Whether the router lives and takes requests, what it is, and which models its instances have. */
import { VERSION } from '../../config/package_files.js';
import { ApiError } from '../../server/base/api_error.js';
import type { ServerApp } from '../../server/base/part.js';
import type { Fleet } from './fleet.js';

/** GET /health, GET and POST /ping: 200, or 503 once the router drains. GET /version, /v1/models. */
export function healthRoutes(app: ServerApp, fleet: Pick<Fleet, 'all'>, draining: AbortSignal): void {
  const check = (): object => {
    if (draining.aborted) throw new ApiError('DRAINING', 'the router ends; ask another one');
    return {};
  };
  const config = { access: 'open' } as const;
  const createdS = Math.floor(Date.now() / 1000);
  app.get('/health', { config }, check);
  app.get('/ping', { config }, check);
  app.post('/ping', { config }, check);
  app.get('/version', { config }, () => ({ version: VERSION }));
  app.get('/v1/models', () => {
    const lengths = new Map<string, number>();
    for (const { model, maxModelLen } of fleet.all) {
      lengths.set(model, Math.max(maxModelLen, lengths.get(model) ?? 0));
    }
    const data = [...lengths].map(([id, maxModelLen]) => ({
      id,
      object: 'model',
      created: createdS,
      owned_by: 'expertwire',
      root: id,
      parent: null,
      max_model_len: maxModelLen === 0 ? null : maxModelLen,
    }));
    return { object: 'list', data };
  });
}
