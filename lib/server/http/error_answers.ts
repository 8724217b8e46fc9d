/** From whatever was thrown to the error that the client is told. */
import { CodedError } from '../../../base/coded_error.js';
import { printableLines } from '../../../base/foreign_text.js';
import { EngineError, type EngineErrorCode } from '../../protocol/errors.js';
import { TokenizerError } from '../../tokenizer/errors.js';
import { ApiError, STATUS_OF, type ApiErrorCode } from '../base/api_error.js';
import type { ServerApp } from '../base/part.js';
import type { ServedEngine } from '../base/served_engine.js';
import { frameworkErrorOf } from './framework_errors.js';

/** Of a message, which may quote the request. */
const MAX_MESSAGE_CHARS = 2000;
/** After which a client of a full queue may try again. */
const RETRY_AFTER_S = 1;

/** Answers every error of a route or hook, and every path that doesn't exist, in OpenAI's form. `methodsOf`: of a path. */
export function answerErrors(
  app: ServerApp,
  engine: Pick<ServedEngine, 'failure'>,
  methodsOf: (path: string) => readonly string[],
): void {
  app.setErrorHandler((thrown, request, reply) => {
    const error = frameworkErrorOf(thrown, request.routeOptions.bodyLimit) ?? apiErrorOf(thrown, engine.failure);
    if (isFailure(error) && !reply.raw.destroyed) request.log.error({ err: thrown }, 'a request failed');
    const retryAfterS = error.retryAfterS ?? (IS_OVER_SOON.has(error.code) ? RETRY_AFTER_S : null);
    if (retryAfterS !== null) void reply.header('retry-after', String(retryAfterS));
    if (error.status === STATUS_OF.INVALID_API_KEY) void reply.header('www-authenticate', 'Bearer');
    return reply.code(error.status).send(error.body);
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const methods = methodsOf(path);
    if (methods.length === 0)
      throw new ApiError('NOT_FOUND', `there is no ${path}; GET /openapi.json lists what there is`);
    void reply.header('allow', methods.join(', '));
    throw new ApiError('METHOD_NOT_ALLOWED', `${path} has no ${request.method}; use ${methods.join(' or ')}`);
  });
}

/** Whether the server failed, and its log says so; one that ends on demand did not, and of a journal that can't be written it says so once. */
export const isFailure = ({ status, code }: ApiError): boolean => status >= 500 && !IS_OVER_SOON.has(code);

/** Nothing is wrong with the request: its client may try again. */
const IS_OVER_SOON: ReadonlySet<ApiErrorCode> = new Set(['QUEUE_FULL', 'DRAINING', 'NO_INSTANCE', 'JOURNAL_FAILED']);

/** What a client is told of `thrown`. `failure`: what ended the engine, or null. */
export function apiErrorOf(thrown: unknown, failure: Error | null): ApiError {
  if (thrown instanceof ApiError) return thrown;
  const [code, text] = codeAndTextOf(thrown, failure);
  return new ApiError(code, printableLines(text, MAX_MESSAGE_CHARS), { cause: thrown });
}

function codeAndTextOf(thrown: unknown, failure: Error | null): readonly [ApiErrorCode, string] {
  const text = thrown instanceof CodedError ? thrown.text : '';
  if (failure !== null && thrown === failure) return ['ENGINE_FAILED', text === '' ? 'the engine failed' : text];
  if (thrown instanceof EngineError) return [ENGINE_CODES[thrown.code], text];
  if (thrown instanceof TokenizerError) {
    const isClients = ['NOT_ENCODABLE', 'NO_CHAT_TEMPLATE', 'TEMPLATE_FAILED', 'INVALID_ARGUMENT'].includes(
      thrown.code,
    );
    return isClients ? ['INVALID_VALUE', withoutFile(thrown)] : ['INTERNAL_ERROR', UNTOLD];
  }
  const { statusCode = 500, message = '' } = (thrown ?? {}) as {
    readonly statusCode?: number;
    readonly message?: string;
  };
  const code = CODE_OF_STATUS.get(statusCode) ?? (statusCode < 500 ? 'INVALID_REQUEST' : 'INTERNAL_ERROR');
  // What isn't meant for clients may hold paths, or worse.
  return [code, code === 'INTERNAL_ERROR' ? UNTOLD : message];
}

const UNTOLD = 'the server failed at this request; its log says more';

/** Where files of the server are is no client's business. */
const withoutFile = ({ text, file }: TokenizerError): string =>
  file === undefined ? text : text.replaceAll(`${file}: `, '').replaceAll(file, 'the tokenizer');

/** Statuses that the framework answers with by itself. */
const CODE_OF_STATUS: ReadonlyMap<number, ApiErrorCode> = new Map(
  (['REQUEST_TIMEOUT', 'BODY_TOO_LARGE', 'URL_TOO_LONG', 'UNSUPPORTED_MEDIA_TYPE', 'HEADERS_TOO_LARGE'] as const).map(
    (code) => [STATUS_OF[code], code],
  ),
);

const ENGINE_CODES: Readonly<Record<EngineErrorCode, ApiErrorCode>> = {
  INVALID_REQUEST: 'INVALID_VALUE',
  CONTEXT_LENGTH_EXCEEDED: 'CONTEXT_LENGTH_EXCEEDED',
  QUEUE_FULL: 'QUEUE_FULL',
  NOT_MOVABLE: 'NOT_FOUND',
  LEASE_OVER: 'GONE',
  HOOK_FAILED: 'INTERNAL_ERROR',
  NO_TOKENIZER: 'UNSUPPORTED',
  RANKS_DIFFER: 'INTERNAL_ERROR',
  NO_ROOM: 'ENGINE_FAILED',
  EXPERTS_LOST: 'ENGINE_FAILED',
  RANK_LOST: 'ENGINE_FAILED',
  RANK_FAILED: 'INTERNAL_ERROR',
  TIMEOUT: 'ENGINE_FAILED',
  HEAD_LOST: 'ENGINE_FAILED',
  NOT_FINITE: 'INTERNAL_ERROR',
  REBALANCE_FAILED: 'INTERNAL_ERROR',
  SCALE_FAILED: 'SCALE_FAILED',
  SOURCE_LOST: 'ENGINE_FAILED',
  CLOSED: 'ENGINE_FAILED',
};
