/** Models that lie in the hub's cache already, whoever put them there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isCommit, modelNameText, repoFolder, snapshotName, type ModelName } from './model_name.js';

/** The folder of a model in a cache, with files as they are at the revision; null where there is none. */
export function cachedModel({ repo, revision }: ModelName, cache: string): string | null {
  const folder = join(cache, repoFolder(repo));
  const commit = isCommit(revision) ? revision : textAt(join(folder, 'refs', revision));
  if (commit === null || !isCommit(commit)) return null;
  const snapshot = join(folder, 'snapshots', commit);
  return existsSync(snapshot) ? snapshot : null;
}

/** What to do where {@link cachedModel} finds nothing: a command, and which revisions are there. */
export function pullAdvice(name: ModelName, cache: string): string {
  const found = cachedRevisions(name.repo, cache);
  const others =
    found.length === 0 ? '' : `, or take what is there: ${found.map((each) => `${name.repo}@${each}`).join(', ')}`;
  return `fetch it with \`expertwire pull ${modelNameText(name)}\`${others}`;
}

/** What to do about files that a model's folder lacks: the command, where it is one of a hub's cache. `otherwise`: what to do elsewhere. */
export function folderAdvice(folder: string, otherwise: string): string {
  const name = snapshotName(folder);
  return name === null
    ? otherwise
    : `fetch what is missing with \`expertwire pull ${modelNameText(name)}\` on this machine`;
}

/**
 * Where a rank reads what its head reads: the same path, or, where this machine has no such folder, the same commit of the same model in its own cache.
 *
 * @param folder the head's
 */
export function folderLikeHeads(folder: string, cache: string | undefined): string {
  const name = cache === undefined || existsSync(folder) ? null : snapshotName(folder);
  return (name && cachedModel(name, cache!)) ?? folder;
}

/** Branches and tags that the cache has a snapshot of; where there are none, commits. A few of them. */
function cachedRevisions(repo: string, cache: string): readonly string[] {
  const folder = join(cache, repoFolder(repo));
  const isThere = (revision: string): boolean => cachedModel({ repo, revision }, cache) !== null;
  const refs = namesIn(join(folder, 'refs')).filter(isThere);
  return (refs.length > 0 ? refs : namesIn(join(folder, 'snapshots')).filter(isThere)).slice(0, 4);
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function textAt(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}
