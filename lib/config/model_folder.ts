/** Where the model is that somebody names: a folder, or a name whose folder is in the hub's cache. */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { shown } from '../../base/foreign_text.js';
import { cachedModel, pullAdvice } from '../hub/cache/cached_model.js';
import { hubCacheFolder, type Environment } from '../hub/cache/hub_cache.js';
import { parseModelName } from '../hub/cache/model_name.js';
import { ConfigError } from './errors.js';
import type { Origin } from './layers.js';

/** Where a model is looked for besides the current folder. */
export interface ModelFolderOptions {
  /** Says where the hub's cache is. */
  readonly env: Environment;
  /** Paths to look at before the cache. Default: from the current working directory. */
  readonly candidates?: readonly string[];
  /** Who named it, for the message. Default: the command line. */
  readonly origin?: Origin | undefined;
}

/**
 * The absolute path of a model's folder. A folder goes before a name: `models/moe-7m` may be both.
 *
 * @throws ConfigError NOT_FOUND: neither a folder, nor in the cache; it says how to fetch what may be a name
 */
export function modelFolder(model: string, { env, candidates = [resolve(model)], origin }: ModelFolderOptions): string {
  const name = parseModelName(model);
  const cache = hubCacheFolder(env);
  const folder = candidates.find((path) => existsSync(path) && statSync(path).isDirectory());
  const found = folder ?? (name && cachedModel(name, cache));
  if (found !== null) return resolve(found);
  const looked = `${origin?.where ?? 'command line'}: "model" is ${shown(model)}, but there is no such folder (looked for ${candidates.join(', ')})`;
  throw new ConfigError(
    'NOT_FOUND',
    name === null
      ? `${looked}; give the path of a model folder`
      : `${looked}, and ${name.repo} is not in the cache ${cache}; give the path of a model folder, or ${pullAdvice(name, cache)}`,
    { key: 'model', file: origin?.file, line: origin?.line },
  );
}
