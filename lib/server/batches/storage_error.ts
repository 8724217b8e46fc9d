/** What clients are told of a disk that can't be written. */
import { isSystemError } from '../../../base/system_error.js';
import { ApiError } from '../base/api_error.js';

/** Rejects with what a client is told. @throws ApiError STORAGE_FULL for what the file system throws; all else as it is */
export function storageError(thrown: unknown): never {
  if (!isSystemError(thrown)) throw thrown;
  const code = thrown.code === undefined ? '' : ` (${thrown.code})`;
  throw new ApiError(
    'STORAGE_FULL',
    `the disk of this server can't be written${code}; try later, or ask its operator`,
    {
      cause: thrown,
    },
  );
}
