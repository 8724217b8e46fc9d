/** From the choices of a request to its answer, whole or as events. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ServerApp, ServerContext } from '../base/part.js';
import type { Batches } from '../batches/batches.js';
import type { ClusterContext } from '../cluster/cluster_part.js';
import { termsOf, type ClusterFields } from '../cluster/request_terms.js';
import { clientSignal } from '../http/client_signal.js';
import type { AnswerHead, Asked } from '../journal/kept_request.js';
import type { RequestRuns } from '../journal/request_runs.js';
import { answerStream, answerWhole, nearest, type AnswerForm, type Coming } from './answer_streams.js';
import { movingAnswer } from './moving_answer.js';
import type { Choice } from './requests/choices.js';
import { broughtChoices, movingChoices } from './requests/moving_choices.js';
import { checkRouterLogits } from './router_logits.js';

/** What parts with requests to the engine see besides. */
export interface OpenAiContext extends ClusterContext {
  readonly runs: RequestRuns;
  /** Who sends a request, as one who comes again can be told from others. */
  readonly callerOf: (request: FastifyRequest) => string;
  readonly batches: Batches;
}

/** A part of the server that has requests for the engine. */
export type OpenAiPart = (app: ServerApp, context: OpenAiContext) => void | Promise<void>;

/** What an answer is made of, besides what comes of its choices. */
export type FormOf<Body> = (
  head: AnswerHead,
  body: Body,
  choices: readonly Choice[],
  context: Pick<ServerContext, 'engine'>,
) => AnswerForm;

/** A request that was read. */
export interface ReadRequest<Body> {
  readonly endpoint: Asked['endpoint'];
  readonly body: Body;
  readonly choices: readonly Choice[];
  readonly formOf: FormOf<Body>;
}

/** Before the name of the request in its answer's id. */
const PREFIXES: Readonly<Record<Asked['endpoint'], string>> = {
  completions: 'cmpl-',
  chat: 'chatcmpl-',
  responses: 'resp_',
};

/** Runs a request and answers it. @throws ApiError, EngineError as long as nothing was sent */
export async function answer<Body extends ClusterFields & { readonly request_id?: string | null | undefined }>(
  request: FastifyRequest,
  reply: FastifyReply,
  context: OpenAiContext,
  { endpoint, body, choices, formOf }: ReadRequest<Body>,
): Promise<object | undefined> {
  checkRouterLogits(choices);
  const { runs, callerOf, modelName: model, ending, cluster, config } = context;
  const name = body.request_id ?? request.id;
  const terms = termsOf(request, body, cluster);
  const created = terms.resume?.created ?? Math.floor(Date.now() / 1000);
  const head = { id: `${PREFIXES[endpoint]}${name}`, created, model };
  const asked = { endpoint, head, body: shownOf(body), name, owner: callerOf(request) };
  const signal = clientSignal(reply, ending);
  const brought = broughtChoices(choices, terms, cluster);
  const moving = movingChoices(brought, terms, config.cluster.lease_timeout_ms);
  const started = await runs.start(asked, moving, signal).catch((thrown: unknown) => {
    throw nearest(thrown, signal);
  });
  const coming = { ...started, signal };
  const form = formOf(head, body, coming.choices, context);
  const isStream = body.stream === true;
  if (cluster === null) return answerAs(reply, context, coming, { form, isStream });
  const moved = movingAnswer(coming, form, { terms, leases: cluster.leases, created });
  return answerAs(reply, context, moved.coming, { form: moved.form, isStream });
}

/** Answers whole, or with events: then there is nothing to return. */
export async function answerAs(
  reply: FastifyReply,
  context: ServerContext,
  coming: Coming,
  { form, isStream }: { readonly form: AnswerForm; readonly isStream: boolean },
): Promise<object | undefined> {
  if (!isStream) return answerWhole(coming, form);
  await answerStream(reply, context, coming, form);
  return undefined;
}

/** Fields that say what is computed, which choices have, and not how it is shown. */
const COMPUTED: ReadonlySet<string> = new Set([
  ...['prompt', 'messages', 'input', 'tools', 'documents', 'chat_template_kwargs'],
  ...['logit_bias', 'allowed_token_ids', 'stop', 'stop_token_ids', 'kv_transfer_params', 'resume'],
]);

const shownOf = (body: object): Asked['body'] =>
  Object.fromEntries(Object.entries(body).filter(([name]) => !COMPUTED.has(name)));
