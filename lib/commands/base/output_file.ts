/** Files that options name for what a command writes: looked at before the command runs, and named when writing fails. */
import { constants } from 'node:fs';
import { access, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { causeText } from '../../../base/foreign_text.js';
import { UsageError } from './context.js';

/** Something couldn't be written: a full disk, a folder without permission, a pipe whose reader is gone. */
export class OutputError extends Error {
  constructor(what: string, cause: unknown, advice = 'check its folder, permissions and the space on its disk') {
    super(`${what} can't be written (${causeText(cause)}); ${advice}`, { cause });
    this.name = 'OutputError';
  }
}

/** What writing an option's file met. */
export const outputFailed = (option: string, path: string, cause: unknown): OutputError =>
  cause instanceof OutputError ? cause : new OutputError(`${option} ${path}`, cause);

/**
 * Looks whether all files can be written, before anything is computed for them. Nothing is created.
 *
 * @param outputs by option; undefined where it wasn't given
 * @param inputs what the command reads, by option: none of them is written over
 * @throws OutputError for one that can't; UsageError for two options that name one file
 */
export async function checkOutputs(outputs: FilesByOption, inputs: FilesByOption = {}): Promise<void> {
  const optionOf = new Map<string, string>();
  for (const [option, path] of Object.entries(inputs)) {
    const file = path === undefined ? null : await realpath(path).catch(() => null); // reading it will say what is wrong
    if (file !== null) optionOf.set(file, option);
  }
  for (const [option, path] of Object.entries(outputs)) {
    if (path === undefined) continue;
    const file = await fileAt(path).catch((cause: unknown) => {
      throw outputFailed(option, path, cause);
    });
    const other = file === null ? undefined : optionOf.get(file);
    if (other !== undefined) {
      throw new UsageError(`${other} and ${option} both name ${path}; give each a file of its own`);
    }
    if (file !== null) optionOf.set(file, option);
  }
}

type FilesByOption = Readonly<Record<string, string | undefined>>;

/** What a file is known by, also before it exists; null for a device or pipe, which may be written from several sides. */
async function fileAt(path: string): Promise<string | null> {
  const found = await stat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  });
  if (found?.isDirectory() === true) throw new Error('it is a folder');
  if (found !== null) {
    await access(path, constants.W_OK);
    return found.isFile() ? realpath(path) : null;
  }
  const target = await readlink(path).catch(() => null); // a link to what isn't there yet
  if (target !== null) return fileAt(resolve(dirname(path), target));
  const folder = dirname(resolve(path));
  await access(folder, constants.W_OK | constants.X_OK);
  return join(await realpath(folder), basename(path));
}
