/** What can become of a request to an instance, besides its answer. */
import { CodedError } from '../../../../base/coded_error.js';

/**
 * `UNREACHABLE`: nobody took the request. `BROKEN_OFF`: the connection ended before the answer was whole. `TIMEOUT`: nothing came for too long.
 * `NOT_HTTP`: what came is no answer. `REFUSED`: its answer is that it doesn't. `UNHEALTHY`: it fails its health checks, so that its answers are waited for no longer.
 */
export type UpstreamErrorCode = 'UNREACHABLE' | 'BROKEN_OFF' | 'TIMEOUT' | 'NOT_HTTP' | 'REFUSED' | 'UNHEALTHY';

/** An instance did not answer as it should. */
export class UpstreamError extends CodedError<UpstreamErrorCode> {}
