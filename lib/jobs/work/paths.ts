/** Where a path of a job may lead. Pure, but for what `realPath` says is there. */
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { printable } from '../../../base/foreign_text.js';
import { parseModelName } from '../../hub/cache/model_name.js';
import { JobError } from '../base/errors.js';
import type { RealPath, Rights } from './rights.js';

/** @throws JobError NOT_ALLOWED: it lies outside of the shard's folder */
export function outputPath(what: string, text: string, { folder }: Rights, realPath: RealPath): string {
  const path = resolve(folder, text);
  const there = nearestThere(path, realPath);
  if (isInside(path, folder) && there !== null && isInside(there, realPath(folder) ?? folder)) return path;
  throw new JobError(
    'NOT_ALLOWED',
    `${what} is ${printable(text)}, outside of the shard's folder; give a relative path`,
  );
}

/** A file of the shard's folder, or among the worker's models. @throws JobError NOT_ALLOWED: there is none */
export function inputPath(what: string, text: string, rights: Rights, realPath: RealPath): string {
  const found = whatIsThere(text, rights, realPath);
  if (found !== null) return found;
  throw new JobError(
    'NOT_ALLOWED',
    `${what} is ${printable(text)}, which is neither in the shard's folder nor in ${printable(rights.models.join(', '), MAX_CHARS)}; give a file of "needs", or start the worker with --models DIR`,
  );
}

/** A model's folder, or its name in the hub's cache. @throws JobError NOT_ALLOWED */
export function modelPath(what: string, text: string, rights: Rights, realPath: RealPath): string {
  const found = whatIsThere(text, rights, realPath);
  if (found !== null) return found;
  if (parseModelName(text) !== null) return text;
  throw new JobError(
    'NOT_ALLOWED',
    `${what} is ${printable(text)}, which is no model in ${printable(rights.models.join(', '), MAX_CHARS)}; start the worker with --models DIR, or give ORG/NAME of its cache`,
  );
}

const MAX_CHARS = 500;

/** Whether a path is a folder or in it. */
export function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (!isAbsolute(way) && way !== '..' && !way.startsWith('../'));
}

/** Null: there is none that may be read. */
function whatIsThere(text: string, { folder, models, relocates = false }: Rights, realPath: RealPath): string | null {
  const roots = [folder, ...models];
  const candidates = isAbsolute(text)
    ? [text, ...(relocates ? models : []).flatMap((dir) => endsOf(text).map((end) => join(dir, end)))]
    : // 'models/moe-7m' means the same as 'moe-7m' where the folder is called so
      [join(folder, text), ...models.flatMap((dir) => [join(dir, text), join(dirname(dir), text)])];
  for (const path of candidates) {
    if (!roots.some((root) => isInside(path, root))) continue;
    const real = realPath(path);
    if (real !== null && roots.some((root) => isInside(real, realPath(root) ?? root))) return path;
  }
  return null;
}

/** A path of another machine: its last parts may be there here. In the hub's cache they are three. */
function endsOf(path: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return [3, 2, 1].flatMap((count) => (parts.length < count ? [] : [parts.slice(-count).join('/')]));
}

/** Of a path or the nearest folder around it that is there. */
function nearestThere(path: string, realPath: RealPath): string | null {
  for (let at = path; ; at = dirname(at)) {
    const real = realPath(at);
    if (real !== null || at === dirname(at)) return real;
  }
}
