/** What a client asks for, as far as a router looks at it. Pure. */
import type { FastifyRequest } from 'fastify';
import { jsonOrUndefined } from '../../../../base/foreign_text.js';
import { ApiError } from '../../../server/base/api_error.js';

/** The endpoints that generate. */
export const GENERATING = ['/v1/completions', '/v1/chat/completions', '/v1/responses'] as const;
/** One of {@link GENERATING}. */
export type Endpoint = (typeof GENERATING)[number];

/** Fields of a body; what isn't an object has none. */
export type Fields = Readonly<Record<string, unknown>>;

/** A request that is to be passed on. */
export interface Asked {
  /** Its name here and in instances: the client's, or a new one. */
  readonly id: string;
  /** Null: it generates nothing. */
  readonly endpoint: Endpoint | null;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: FastifyRequest['headers'];
  readonly body: Buffer | null;
  readonly fields: Fields;
  readonly isStream: boolean;
  /** Null: it doesn't say. */
  readonly model: string | null;
  readonly maxNewTokens: number;
  readonly priority: number;
  /** It has one choice and is told in tokens alone: it can go on elsewhere. */
  readonly canMove: boolean;
  /** Its client deals with instances itself: nothing is added to it. */
  readonly isClients: boolean;
}

/** OpenAI's, of completions that don't say. */
const DEFAULT_COMPLETION_TOKENS = 16;
/** Of others: as many as fit. */
const MANY_TOKENS = 2 ** 20;

/** @throws ApiError UNSUPPORTED for what only a router says */
export function readAsked({ id, method, url, headers, body }: FastifyRequest): Asked {
  const endpoint = GENERATING.find((each) => url === each || url.startsWith(`${each}?`)) ?? null;
  const bytes = Buffer.isBuffer(body) && body.length > 0 ? body : null;
  const fields = bytes === null ? {} : fieldsOf(bytes);
  if (endpoint !== null && fields.resume != null) {
    throw new ApiError('UNSUPPORTED', 'resume is what routers say to instances; leave it out', { param: 'resume' });
  }
  const name = typeof fields.request_id === 'string' ? fields.request_id : id;
  const seen = {
    endpoint,
    isStream: fields.stream === true,
    model: textOf(fields.model),
    ...countsOf(fields, endpoint),
  };
  const ways = { canMove: canMove(fields), isClients: fields.kv_transfer_params != null };
  return { id: name, method, path: url, headers, body: bytes, fields, ...seen, ...ways };
}

/** A JSON object with fields added behind its own, which stay as they were written; of two with one name the later one counts. */
export function spliced(body: Buffer, added: Fields): Buffer {
  const end = body.lastIndexOf(CLOSING_BRACE);
  const before = body.toString('latin1', 0, end).trimEnd();
  const text = JSON.stringify(added).slice(1);
  return Buffer.concat([body.subarray(0, end), Buffer.from(before.endsWith('{') ? text : `,${text}`)]);
}

const CLOSING_BRACE = 0x7d;

function fieldsOf(body: Buffer): Fields {
  const value = jsonOrUndefined(body.toString());
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function countsOf(fields: Fields, endpoint: Endpoint | null): Pick<Asked, 'maxNewTokens' | 'priority'> {
  const given = [fields.max_tokens, fields.max_completion_tokens, fields.max_output_tokens].find(isCount);
  const usual = endpoint === '/v1/completions' ? DEFAULT_COMPLETION_TOKENS : MANY_TOKENS;
  const { priority } = fields;
  return { maxNewTokens: given ?? usual, priority: typeof priority === 'number' && isFinite(priority) ? priority : 0 };
}

/** As the servers of instances see it (server/cluster). */
function canMove(fields: Fields): boolean {
  const isOne = (fields.n ?? 1) === 1 && (fields.best_of ?? 1) === 1;
  const isTokens = TOLD_BESIDES.every((name) => !isAsked(fields[name]));
  const { prompt } = fields;
  return isOne && isTokens && !(Array.isArray(prompt) && prompt.length > 1 && typeof prompt[0] !== 'number');
}

/** What goes with tokens, and isn't known behind them. */
const TOLD_BESIDES = [
  ...['logprobs', 'top_logprobs', 'prompt_logprobs', 'return_routed_experts', 'return_router_logits'],
  'include', // of /v1/responses: log-probabilities
];

const isAsked = (value: unknown): boolean =>
  value != null && value !== false && !(Array.isArray(value) && value.length === 0);
const isCount = (value: unknown): value is number => typeof value === 'number' && value >= 0;
const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
