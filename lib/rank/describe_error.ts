import { CommError, type RemoteError } from '../../comm/base/errors.js';
import { remoteErrorOf } from '../../comm/job/messages.js';

/** An error of any layer, for the head. */
export function describeError(error: unknown): RemoteError {
  if (error instanceof CommError) return remoteErrorOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'INTERNAL';
  return { code, message };
}
