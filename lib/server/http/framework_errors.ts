/** Errors of the web framework in this server's words: its own speak to who programs with it. */
import { ApiError, type ApiErrorCode } from '../base/api_error.js';

/** What a client is told of `thrown`; null where that is none of the framework's. `maxBodyBytes`: of the route. */
export function frameworkErrorOf(thrown: unknown, maxBodyBytes: number): ApiError | null {
  const { code = '' } = (thrown ?? {}) as { readonly code?: string };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const text = `the body is longer than server.max_body_bytes, ${maxBodyBytes}; send less, or in several requests`;
    return new ApiError('BODY_TOO_LARGE', text, { cause: thrown });
  }
  const known = KNOWN[code];
  return known === undefined ? null : new ApiError(...known, { cause: thrown });
}

const KNOWN: Readonly<Record<string, readonly [ApiErrorCode, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'UNSUPPORTED_MEDIA_TYPE',
    'this server reads JSON; send Content-Type: application/json',
  ],
  FST_ERR_CTP_INVALID_JSON_BODY: [
    'INVALID_REQUEST',
    'the body is not valid JSON, or has a key __proto__; send a JSON object',
  ],
  FST_ERR_BAD_URL: ['INVALID_REQUEST', 'the URL has a % that begins no character; write %25'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'INVALID_REQUEST',
    'the body is not as long as Content-Length says; send all of it',
  ],
};
