/** GET /v1/models: the one model that there is. */
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { ApiError } from '../base/api_error.js';
import type { ServerContext, ServerPart } from '../base/part.js';

/** GET /v1/models and /v1/models/NAME. */
export const modelsPart: ServerPart = (app, context) => {
  app.get('/v1/models', () => ({ object: 'list', data: [modelOf(context)] }));
  const tell = (model: string): object => {
    checkModel(model, context);
    return modelOf(context);
  };
  app.get('/v1/models/:model', { schema: { params: named('model') } }, ({ params }) => tell(params.model));
  // Names may have slashes, as `org/name` has.
  app.get('/v1/models/*', { schema: { params: named('*'), hide: true } }, ({ params }) => tell(params['*']));
};

const named = <K extends string>(key: K) => z.object({ [key]: z.string() } as Record<K, z.ZodString>);

/** @throws ApiError MODEL_NOT_FOUND where a request asks for another model; to ask for none is fine */
export function checkModel(model: string | null | undefined, { modelName }: Pick<ServerContext, 'modelName'>): void {
  if (model == null || model === modelName) return;
  throw new ApiError(
    'MODEL_NOT_FOUND',
    `the model ${shown(model)} does not exist; this server has ${shown(modelName)}`,
    {
      param: 'model',
    },
  );
}

function modelOf({ modelName, createdS, engine }: ServerContext): object {
  return {
    id: modelName,
    object: 'model',
    created: createdS,
    owned_by: 'expertwire',
    root: modelName,
    parent: null,
    max_model_len: engine.limits.maxModelLen,
  };
}
