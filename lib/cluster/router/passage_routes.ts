/** What clients ask of instances: each request is passed on. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { ExpertwireConfig } from '../../config/schema.js';
import { ApiError } from '../../server/base/api_error.js';
import type { ServerApp } from '../../server/base/part.js';
import { clientSignal } from '../../server/http/client_signal.js';
import type { Fleet } from './fleet.js';
import { unknownModel } from './health_routes.js';
import { GENERATING, readAsked, type Asked } from './passage/asked.js';
import { ClientAnswer } from './passage/client_answer.js';
import { Dispatch, type DispatchParts } from './passage/dispatch.js';
import { Passage, type PassageParts } from './passage/passage.js';
import type { PromptReader } from './passage/prompt_reader.js';
import type { RequestStory } from './passage/request_story.js';
import { StoryTeller } from './passage/story_teller.js';
import type { Passages } from './passages.js';

/** What passing on takes. */
export interface PassageRoutesParts extends DispatchParts {
  readonly config: Pick<ExpertwireConfig, 'server' | 'router'>;
  readonly fleet: Fleet;
  readonly passages: Passages;
  readonly prompts: PromptReader;
  readonly offer: PassageParts['offer'];
  readonly log: Logger;
  /** Aborted when whatever still runs is broken off, with what clients are told. */
  readonly ending: AbortSignal;
  /** Told of each request when it is over. */
  readonly over: (story: RequestStory) => void;
  /** Told of output tokens when their client is. */
  readonly tokens: (numTokens: number) => void;
}

/** What instances answer besides those that generate; bodies pass as they are. What only routers and instances ask is not among it. */
const OTHERS = ['/tokenize', '/detokenize', '/tokenizer_info', '/v1/embeddings', '/v1/rerank'];

/** Adds the routes; bodies aren't parsed by the framework, whatever they are. */
export async function passageRoutes(app: ServerApp, parts: PassageRoutesParts): Promise<void> {
  await app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body));
    const handler = (request: FastifyRequest, reply: FastifyReply): Promise<void> => passOn(request, reply, parts);
    for (const url of GENERATING) scope.post(url, handler);
    for (const url of OTHERS) scope.route({ method: ['GET', 'POST'], url, handler });
    done();
  });
}

async function passOn(request: FastifyRequest, reply: FastifyReply, parts: PassageRoutesParts): Promise<void> {
  const { config, passages, clock, offer, over } = parts;
  const asked = readAsked(request);
  const story = new StoryTeller(asked, clock, parts.tokens);
  const signal = clientSignal(reply, parts.ending);
  let isWhole = false;
  reply.raw.once('finish', () => (isWhole = true));
  reply.raw.once('close', () => over(story.end({ status: reply.raw.statusCode, isCutOff: !isWhole })));
  const dispatch = await dispatchOf(asked, request, signal, parts);
  const client = new ClientAnswer(reply, config.server);
  const { retries, resumes } = config.router;
  const passage = new Passage({ asked, dispatch, client, story, signal, retries, resumes, offer });
  await passages.run(asked.id, passage);
}

async function dispatchOf(
  asked: Asked,
  { id: httpId, headers }: FastifyRequest,
  signal: AbortSignal,
  parts: PassageRoutesParts,
): Promise<Dispatch> {
  const model = modelOf(asked, parts.fleet);
  const { session_header: header } = parts.config.router;
  const session = header === null ? null : ([headers[header]].flat()[0] ?? null);
  const prompt = await parts.prompts.read(asked, model, signal);
  return new Dispatch(parts, asked, { model, prompt, session, httpId });
}

/** The one that is asked for, or the first that there is. @throws ApiError MODEL_NOT_FOUND, NO_INSTANCE */
function modelOf({ model }: Asked, { all }: Fleet): string {
  const models = [...new Set(all.map((record) => record.model))];
  if (models.length === 0) throw new ApiError('NO_INSTANCE', 'no instance is there; try again later, or start one');
  if (model === null) return models[0]!;
  if (models.includes(model)) return model;
  throw unknownModel(
    model,
    models.map((id) => ({ id })),
  );
}
