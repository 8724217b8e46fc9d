/** Where something stands in a file of jobs, and files that it names. */
import { existsSync, statSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import { shown } from '../../../base/foreign_text.js';
import { candidatesFor } from '../../config/load.js';
import { errorAt, type OriginOf } from '../../experiment/file/checked_part.js';

/** A place in a file. */
export interface FilePlace {
  readonly path: readonly PropertyKey[];
  readonly originOf: OriginOf;
  /** Where relative paths begin, before the file's own folder. */
  readonly cwd: string;
}

/** The absolute path of a file, from the current folder, the file's own, or one above it. @throws ConfigError NOT_FOUND */
export function existingFile(file: string, what: string, { path, originOf, cwd }: FilePlace): string {
  const candidates = candidatesFor(file, originOf(path), cwd);
  const found = candidates.find((each) => existsSync(each) && statSync(each).isFile());
  if (found !== undefined) return found;
  const text = `${shown(file)} is no file (looked for ${candidates.join(', ')}); give the path of a ${what}`;
  throw errorAt(originOf, path, 'NOT_FOUND', text);
}

/** As messages name it: below the current folder without that. */
export function nearPath(path: string, cwd: string): string {
  const way = relative(cwd, path);
  return way.startsWith('..') || isAbsolute(way) ? path : way;
}
