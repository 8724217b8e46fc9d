/** What V8 made of the program's text, kept in the user's cache: the next process begins with it. Why: docs/decisions/start.md#what-a-process-doesnt-need-isnt-loaded */
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** What Node has of it from 22.1 on, and its types from later. Nothing is thrown: it returns why it can't. */
type EnableCompileCache = (folder: string) => { readonly directory?: string };

/** What of Node decides. */
export interface CompileCacheOptions {
  /** Null: Node has none. Default: Node's own. */
  readonly enable?: EnableCompileCache | null;
  /** The user's; null: there is none. Default: as the system says. */
  readonly home?: string | null;
}

/**
 * From now on modules are loaded from the cache, and kept there when this process ends. Returns the folder, for NODE_COMPILE_CACHE of threads and processes that
 * this one starts; null where this Node has no such cache, the user no home, or nothing can be written there.
 */
export function enableCompileCache({ enable = ofNode(), home = homeFolder() }: CompileCacheOptions = {}):
  string | null {
  if (enable === null || home === null || !existsSync(home)) return null; // none is made
  const folder = join(home, '.cache', 'expertwire', 'compiled');
  return enable(folder).directory === undefined ? null : folder;
}

const ofNode = (): EnableCompileCache | null =>
  (nodeModule as { readonly enableCompileCache?: EnableCompileCache }).enableCompileCache ?? null;

function homeFolder(): string | null {
  try {
    return homedir(); // throws where the system knows no user of this number
  } catch {
    return null;
  }
}
