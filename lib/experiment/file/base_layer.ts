/** `base`: the configuration that a sweep changes, in a file of its own or in the experiment's. */
import { existsSync, statSync } from 'node:fs';
import { isAbsolute, relative } from 'node:path';
import { shown } from '../../../base/foreign_text.js';
import type { Layer } from '../../config/layers.js';
import { candidatesFor, readFileLayer } from '../../config/load.js';
import { errorAt, type OriginOf } from './checked_part.js';
import type { ExperimentFile } from './file_schema.js';

/** @throws ConfigError NOT_FOUND, INVALID_YAML */
export async function baseLayer(base: ExperimentFile['base'], originOf: OriginOf, cwd: string): Promise<Layer> {
  if (typeof base !== 'string') return { values: base, originOf: (path) => originOf(['base', ...path]) };
  const candidates = candidatesFor(base, originOf(['base']), cwd);
  const found = candidates.find((path) => existsSync(path) && statSync(path).isFile());
  if (found === undefined) {
    const text = `"base" is ${shown(base)}, but there is no such file (looked for ${candidates.join(', ')}); give the path of a configuration`;
    throw errorAt(originOf, ['base'], 'NOT_FOUND', text);
  }
  return readFileLayer(nearPath(found, cwd), cwd);
}

/** As messages name it: below the current folder without that. */
function nearPath(path: string, cwd: string): string {
  const near = relative(cwd, path);
  return near.startsWith('..') || isAbsolute(near) ? path : near;
}
