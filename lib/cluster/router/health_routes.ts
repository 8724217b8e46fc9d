/** Whether the router lives and takes requests, what it is, and which models its instances have. */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { VERSION } from '../../config/package_files.js';
import { ApiError } from '../../server/base/api_error.js';
import type { ServerApp } from '../../server/base/part.js';
import type { InstanceView } from '../base/instance_view.js';
import type { Fleet } from './fleet.js';

/** What they take. */
export interface HealthRoutesParts {
  readonly fleet: Pick<Fleet, 'all'>;
  readonly views: () => readonly InstanceView[];
  /** Aborted once the router drains. */
  readonly draining: AbortSignal;
}

/** @param models that there are */
export function unknownModel(name: string, models: readonly { readonly id: string }[]): ApiError {
  const has = models.map(({ id }) => shown(id)).join(', ');
  const text = `the model ${shown(name)} does not exist; instances of this router have ${has === '' ? 'none' : has}`;
  return new ApiError('MODEL_NOT_FOUND', text, { param: 'model' });
}

/** GET /health, GET and POST /ping: 200, or 503 while no instance answers and once the router drains. GET /version, /v1/models. */
export function healthRoutes(app: ServerApp, { fleet, views, draining }: HealthRoutesParts): void {
  const check = (): object => {
    if (draining.aborted) throw new ApiError('DRAINING', 'the router ends; ask another one');
    if (!views().some(({ isHealthy }) => isHealthy))
      throw new ApiError('NO_INSTANCE', 'no instance answers; try again later');
    return {};
  };
  const config = { access: 'open' } as const;
  const createdS = Math.floor(Date.now() / 1000);
  app.get('/health', { config }, check);
  app.get('/ping', { config }, check);
  app.post('/ping', { config }, check);
  app.get('/version', { config }, () => ({ version: VERSION }));
  const models = (): readonly { readonly id: string }[] => {
    const lengths = new Map<string, number>();
    for (const { model, maxModelLen } of fleet.all) {
      lengths.set(model, Math.max(maxModelLen, lengths.get(model) ?? 0));
    }
    return [...lengths].map(([id, maxModelLen]) => ({
      id,
      object: 'model',
      created: createdS,
      owned_by: 'expertwire',
      root: id,
      parent: null,
      max_model_len: maxModelLen === 0 ? null : maxModelLen,
    }));
  };
  app.get('/v1/models', () => ({ object: 'list', data: models() }));
  // Names may have slashes, as `org/name` has.
  app.get('/v1/models/*', { schema: { params: z.object({ '*': z.string() }) } }, ({ params }) => {
    const name = params['*'];
    const model = models().find(({ id }) => id === name);
    if (model === undefined) throw unknownModel(name, models());
    return model;
  });
}
