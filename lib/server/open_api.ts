/** GET /openapi.json: every route with its fields, from the schemas that check them. */
import swagger from '@fastify/swagger';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import { VERSION } from '../config/package_files.js';
import type { ServerApp } from './base/part.js';

/** Collects the routes that are added from now on: comes before them. */
export const collectOpenApi = async (app: ServerApp): Promise<void> => {
  await app.register(swagger, {
    openapi: {
      info: {
        title: 'expertwire',
        version: VERSION,
        description: "An expert-parallel engine behind OpenAI's and vLLM's endpoints.",
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  });
};

/** GET /openapi.json. */
export const openApiPart = (app: ServerApp): void => {
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
};
