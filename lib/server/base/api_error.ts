/** Errors as clients of the API see them: a status, and `{"error": {"message", "type", "param", "code"}}`. */
import { CodedError } from '../../../base/coded_error.js';

/** Why a request is answered with an error, and with which status. */
export const STATUS_OF = {
  INVALID_REQUEST: 400, // not what the API takes, or not HTTP
  INVALID_VALUE: 400, // a field has a value that it can't have
  UNSUPPORTED: 400, // a field asks for what this server can't do
  CONTEXT_LENGTH_EXCEEDED: 400,
  INVALID_API_KEY: 401,
  HOST_NOT_ALLOWED: 403,
  ORIGIN_NOT_ALLOWED: 403,
  LOCAL_ONLY: 403, // for clients of this machine, as long as there is no API key
  CLUSTER_ONLY: 403, // for routers and instances of this cluster
  NOT_FOUND: 404,
  MODEL_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408, // it did not arrive in time
  CONFLICT: 409, // not while the server does what it does
  GONE: 410, // an offer of a request that ended
  MOVED: 409, // the request goes on in another instance
  BODY_TOO_LARGE: 413,
  URL_TOO_LONG: 414,
  UNSUPPORTED_MEDIA_TYPE: 415,
  QUEUE_FULL: 429,
  OVERLOADED: 429, // of a router: it would come too late
  HEADERS_TOO_LARGE: 431,
  INTERNAL_ERROR: 500,
  SCALE_FAILED: 500, // and the job goes on with the ranks that it has
  INSTANCE_FAILED: 502, // of a router: its instance broke off, and no other one can go on
  NO_INSTANCE: 503, // of a router: none takes the request
  JOURNAL_FAILED: 503, // nobody would go on with it after this head
  DRAINING: 503, // the server ends; it finishes what it began
  ENGINE_FAILED: 503,
  STORAGE_FULL: 507, // no room for files, of the disk or by the server's limits
} as const;

/** The codes of {@link STATUS_OF}; clients see them in small letters. */
export type ApiErrorCode = keyof typeof STATUS_OF;

/** What goes with an error besides its text. */
export interface ApiErrorContext {
  /** The field of the request that it is about. Default: none. */
  readonly param?: string | undefined;
  readonly cause?: unknown;
  /** After which its client may try again, s. Default: nobody knows. */
  readonly retryAfterS?: number | undefined;
}

/** The body of an answer that is an error, as OpenAI's clients read it. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
  };
}

/** A request that is answered with an error. */
export class ApiError extends CodedError<ApiErrorCode> {
  readonly param: string | null;
  readonly retryAfterS: number | undefined;

  constructor(code: ApiErrorCode, text: string, { param, cause, retryAfterS }: ApiErrorContext = {}) {
    super(code, text, { cause });
    this.param = param ?? null;
    this.retryAfterS = retryAfterS;
  }

  /** The HTTP status. */
  get status(): number {
    return STATUS_OF[this.code];
  }

  /** What the client gets to read. */
  get body(): ErrorBody {
    const { text, status, param, code } = this;
    return { error: { message: text, type: typeOf(status), param, code: code.toLowerCase() } };
  }
}

function typeOf(status: number): string {
  if (status >= 500) return 'server_error';
  return status === 429 ? 'rate_limit_error' : 'invalid_request_error';
}
