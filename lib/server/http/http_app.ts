/** The web framework's application with every limit set: what all servers of this project begin with. */
import { fastify, LogController, type FastifyBaseLogger, type FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import type { ZodType } from 'zod';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { ServerApp } from '../base/part.js';
import { apiErrorOf } from './error_answers.js';
import { frameworkErrorOf } from './framework_errors.js';
import { cantListen } from './listening.js';
import { answerClientError, nodeServer, type Certificate } from './node_server.js';
import { requestIdOf } from './request_id.js';
import { checkedBy } from './validation.js';

/** An application without routes; it reads no bodies but JSON, as the framework does. */
export function httpApp(config: ExpertwireConfig['server'], certificate: Certificate | null, log: Logger): ServerApp {
  const loggerInstance: FastifyBaseLogger = log.child({}); // with a level of its own
  const app: ServerApp = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    serverFactory: (handler) => nodeServer(handler, config, certificate),
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, _request, reply) => answerUrlError(error, reply as FastifyReply),
    genReqId: requestIdOf,
    bodyLimit: config.max_body_bytes,
    routerOptions: { maxParamLength: config.max_url_bytes },
    forceCloseConnections: true,
    return503OnClosing: false, // the guard says it in OpenAI's form
  });
  app.removeContentTypeParser('text/plain'); // 415
  app.setValidatorCompiler<ZodType>(({ schema }) => checkedBy(schema));
  app.setSerializerCompiler(() => JSON.stringify); // schemas of answers are for readers
  return app;
}

/** The framework has a line for each address, which says http where it is https; who listens tells better. @throws ConfigError INVALID_VALUE */
export async function listenSilently(
  app: ServerApp,
  place: { readonly host: string; readonly port: number },
): Promise<void> {
  const { level } = app.log;
  app.log.level = 'silent';
  try {
    await app.listen(place);
  } catch (cause) {
    throw cantListen(place, cause);
  } finally {
    app.log.level = level;
  }
}

/** Of a URL that isn't one: no route and no hook sees it. */
function answerUrlError(error: Error, reply: FastifyReply): void {
  const { status, body } = frameworkErrorOf(error, 0) ?? apiErrorOf(error, null);
  void reply.code(status).send(body);
}
