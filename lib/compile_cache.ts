/** What V8 made of the program's text, kept in the user's cache: the next process begins with it. Why: docs/decisions/start.md#what-a-process-doesnt-need-isnt-loaded */
import { readdirSync, rmSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { join } from 'node:path';
import { userCache } from './config/user_cache.js';

/** What Node has of it from 22.1 on, and its types from later. Nothing is thrown: it returns why it can't. */
type EnableCompileCache = (folder: string) => { readonly directory?: string };

/** What of Node decides. */
export interface CompileCacheOptions {
  /** Null: Node has none. Default: Node's own. */
  readonly enable?: EnableCompileCache | null;
  /** The user's; null: there is none. Default: as the system says. */
  readonly home?: string | null;
}

/** Of one version of Node; a build of expertwire has some 250. */
const MAX_FILES = 2000;

/**
 * From now on modules are loaded from the cache, and kept there when this process ends. Returns the folder, for NODE_COMPILE_CACHE of threads and processes that
 * this one starts; null where this Node has no such cache, the user no home, or nothing can be written there.
 */
export function enableCompileCache({ enable = ofNode(), home }: CompileCacheOptions = {}): string | null {
  const folder = enable === null ? null : userCache('compiled', home);
  if (enable === null || folder === null) return null;
  dropOutgrown(folder);
  return enable(folder).directory === undefined ? null : folder;
}

/** Node removes nothing of what older builds left. */
function dropOutgrown(folder: string): void {
  try {
    for (const version of readdirSync(folder)) {
      const its = join(folder, version);
      if (readdirSync(its).length > MAX_FILES) rmSync(its, { recursive: true, force: true });
    }
  } catch {
    // Another process removes it, or may alone.
  }
}

const ofNode = (): EnableCompileCache | null =>
  (nodeModule as { readonly enableCompileCache?: EnableCompileCache }).enableCompileCache ?? null;
