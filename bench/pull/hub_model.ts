/** A model as a hub keeps it: commits with files, and names of commits. */
import { createHash } from 'node:crypto';

/** A file of a commit. */
export interface HubFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Git's object of the content: of the pointer, where Git keeps one instead. */
  readonly oid: string;
  /** SHA-256 of the content, where it is kept beside Git (LFS): large files. */
  readonly sha256: string | null;
}

/** Who may read its files: all, those who accepted its terms, or those who may know of it. */
export type Access = 'public' | 'gated' | 'private';

/** A repository. */
export interface HubModel {
  readonly name: string;
  readonly access: Access;
  /** Files of each commit, in the order of their paths. */
  readonly commits: ReadonlyMap<string, readonly HubFile[]>;
  /** Branches and tags. */
  readonly refs: ReadonlyMap<string, string>;
  /** Large files are offered in chunks of the hub's storage, too. */
  readonly hasChunks: boolean;
}

/** A commit of a model that is to be served. */
export interface HubRevision {
  /** Branches and tags that are this commit. */
  readonly names: readonly string[];
  /** Content by path. */
  readonly files: Readonly<Record<string, Uint8Array | string>>;
}

const LARGE = /\.(?:safetensors|bin|gguf|model)$|^tokenizer\.json$/;

/** The commit's number follows from its content. */
export function hubModel(
  name: string,
  revisions: readonly HubRevision[],
  { access = 'public', hasChunks = false }: Partial<Pick<HubModel, 'access' | 'hasChunks'>> = {},
): HubModel {
  const commits = new Map<string, readonly HubFile[]>();
  const refs = new Map<string, string>();
  for (const { names, files } of revisions) {
    const own = Object.entries(files).map(([path, content]) => hubFile(path, content));
    own.sort((a, b) => (a.path < b.path ? -1 : 1));
    const commit = createHash('sha1')
      .update(JSON.stringify(own.map(({ path, oid }) => [path, oid])))
      .digest('hex');
    commits.set(commit, own);
    for (const ref of names) refs.set(ref, commit);
  }
  return { name, access, hasChunks, commits, refs };
}

function hubFile(path: string, content: Uint8Array | string): HubFile {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  if (!LARGE.test(path)) return { path, bytes, oid: gitOid(bytes), sha256: null };
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { path, bytes, oid: gitOid(pointerOf(sha256, bytes.length)), sha256 };
}

const gitOid = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/** What Git keeps of a large file. */
const pointerOf = (sha256: string, size: number): Buffer =>
  Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`);
