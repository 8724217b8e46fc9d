/** A folder that appears whole or not at all. */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { WeightError } from './errors.js';
import { isSystemError } from '../../base/system_error.js';

/**
 * Writes a folder that doesn't exist yet or is empty. `write` fills a folder beside it, which takes its place when all is written and is
 * removed when anything fails.
 *
 * @throws WeightError FOLDER_NOT_EMPTY, WRITE_FAILED; whatever else `write` throws
 */
export async function writeNewFolder<T>(dir: string, write: (partial: string) => Promise<T>): Promise<T> {
  const target = resolve(dir);
  const partial = `${target}.partial-${randomUUID()}`;
  try {
    await checkEmpty(dir);
    await mkdir(partial);
    const result = await write(partial);
    await rename(partial, target);
    return result;
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    throw isSystemError(error) ? folderError(dir, error) : error;
  }
}

/** Whether a folder doesn't exist yet or is empty: looked at before work that takes a while. @throws WeightError FOLDER_NOT_EMPTY, WRITE_FAILED */
export async function checkNewFolder(dir: string): Promise<void> {
  try {
    await checkEmpty(dir);
  } catch (error) {
    throw isSystemError(error) ? folderError(dir, error) : error;
  }
}

async function checkEmpty(dir: string): Promise<void> {
  const found = await readdir(dir).catch((cause: unknown) => {
    if (isSystemError(cause) && cause.code === 'ENOENT') return [];
    throw cause;
  });
  if (found.length > 0) throw notEmpty(dir);
}

function folderError(dir: string, cause: NodeJS.ErrnoException): WeightError {
  // Somebody else may have filled the folder in the meantime.
  if (cause.code === 'ENOTEMPTY' || cause.code === 'EEXIST') return notEmpty(dir, cause);
  const advice =
    cause.code === 'ENOENT'
      ? 'create the folder that it is to be in'
      : 'check the path, its permissions and the space on its disk';
  return new WeightError('WRITE_FAILED', `${dir} can't be written (${cause.message}); ${advice}`, { file: dir, cause });
}

const notEmpty = (dir: string, cause?: unknown): WeightError =>
  new WeightError('FOLDER_NOT_EMPTY', `${dir} holds files already; give a new or an empty folder`, {
    file: dir,
    cause,
  });
