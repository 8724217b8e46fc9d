/** What clients are told when the server ends. */
import { ApiError } from '../base/api_error.js';
import type { ServedEngine } from '../base/served_engine.js';
import { apiErrorOf } from './error_answers.js';

/** Why a request is refused, or broken off with `text`: the engine's failure where that ended the server. */
export function endOf({ failure }: Pick<ServedEngine, 'failure'>, text = 'the server ends; ask another one'): ApiError {
  return failure === null ? new ApiError('DRAINING', text) : apiErrorOf(failure, failure);
}
