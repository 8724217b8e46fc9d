/** Names of models on a hub, and how folders of its cache spell them. Pure. */
import { basename, dirname } from 'node:path';

/** A model of a hub, at a revision. */
export interface ModelName {
  /** ORG/NAME. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** What a name means that names no revision. */
export const DEFAULT_REVISION = 'main';

/** As the hub allows them: letters, digits, '_', and '-' and '.' in between. */
const REPO = /^(?![-.])[\w.-]{1,96}(?<![-.])\/(?![-.])[\w.-]{1,96}(?<![-.])$/;

/** ORG/NAME or ORG/NAME@REVISION; null for what can't be one. */
export function parseModelName(text: string): ModelName | null {
  const at = text.indexOf('@');
  const repo = at < 0 ? text : text.slice(0, at);
  const revision = at < 0 ? DEFAULT_REVISION : text.slice(at + 1);
  return isRepo(repo) && isRevision(revision) ? { repo, revision } : null;
}

/** Two hyphens part organisation and name in the cache. */
const isRepo = (repo: string): boolean => REPO.test(repo) && !/--|\.\./.test(repo) && !repo.endsWith('.git');

/** A revision becomes a path in the cache: it must not lead out of its folder. */
export const isRevision = (revision: string): boolean =>
  /^[\w.-]+(\/[\w.-]+)*$/.test(revision) && revision.length <= 200 && !/(^|\/)\.{1,2}(\/|$)/.test(revision);

/** Whether a revision is a commit, which never changes. */
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/** As {@link parseModelName} reads it. */
export const modelNameText = ({ repo, revision }: ModelName): string =>
  revision === DEFAULT_REVISION ? repo : `${repo}@${revision}`;

/** What the cache calls the folder of a repository. */
export const repoFolder = (repo: string): string => `models--${repo.replace('/', '--')}`;

/** The model whose snapshot a folder of a cache is, at its commit; null for every other folder. */
export function snapshotName(folder: string): ModelName | null {
  const revision = basename(folder);
  const parts = /^models--(.+?)--(.+)$/.exec(basename(dirname(dirname(folder))));
  if (parts === null || basename(dirname(folder)) !== 'snapshots' || !isCommit(revision)) return null;
  return { repo: `${parts[1]!}/${parts[2]!}`, revision };
}

/** What people call the model of a folder: ORG/NAME where it lies in a hub's cache, the folder's name elsewhere. */
export const modelNameOf = (folder: string): string => snapshotName(folder)?.repo ?? basename(folder);
