/**
 * A repository's folder in the hub's cache, as the hub's own tools lay it out: `blobs/HASH`, `snapshots/COMMIT/PATH` that link to them, and `refs/REVISION`, which
 * holds a commit. What is being fetched is `blobs/HASH.PID-START-HOST.incomplete` of the process that is at it, and `blobs/HASH.kept.incomplete` of one that gave up.
 * Why: docs/decisions/hub.md#two-pulls-at-once-share-the-work
 */
import { lstat, mkdir, readdir, rename, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { isRunning, ownerOf, ownerText, thisOwner, type Owner } from '../../base/process_owner.js';
import { repoFolder } from './cache/model_name.js';
import type { RemoteFile } from './hub_repository.js';

/** A file that this process fetches, or the process that is at it. */
export type Claim = { readonly kind: 'own'; readonly path: string } | { readonly kind: 'taken'; readonly by: Owner };

/** No process of another machine is asked whether it lives: a file that hasn't grown for so long is nobody's. */
const ABANDONED_MS = 86_400_000;
const INCOMPLETE = '.incomplete';
const KEPT = `.kept${INCOMPLETE}`;

/** Throws what the file system throws. */
export class BlobStore {
  private constructor(
    private readonly folder: string,
    private readonly owner: Owner,
    private readonly mayLink: boolean,
  ) {}

  /** Writes nothing yet. `mayLink`: files of a snapshot are links, where the disk and the user may make them. */
  static async open(cache: string, repo: string, mayLink: boolean): Promise<BlobStore> {
    return new BlobStore(join(cache, repoFolder(repo)), await thisOwner(), mayLink);
  }

  /** Makes the folder of files: once the hub has said what there is, so that a name that it refuses leaves nothing behind. */
  async begin(): Promise<void> {
    await mkdir(join(this.folder, 'blobs'), { recursive: true });
  }

  /** Of a commit's files. */
  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit);
  }

  /** Whether the file of a commit is there, whole. What has another size isn't it, and is removed. */
  async has(commit: string, file: RemoteFile): Promise<boolean> {
    const places = [join(this.snapshot(commit), file.path), this.blob(file)];
    for (const path of places) {
      const found = await stat(path).catch(() => null);
      if (found?.isFile() === true && found.size === file.size) return true;
      await rm(path, { force: true });
    }
    return false;
  }

  /** How much of a file lies here for the next who fetches it. */
  async numKeptBytes(file: RemoteFile): Promise<number> {
    const sizes = await Promise.all(
      (await this.partials(file)).map(({ path }) =>
        stat(path).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    return Math.max(0, ...sizes);
  }

  /** Free bytes of the disk, for this user. */
  async numFreeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.folder);
    return bavail * bsize;
  }

  /** Takes a file to fetch: what a process that is no more left of it, or a new one. Of several processes one gets it. */
  async claim(file: RemoteFile): Promise<Claim> {
    const path = `${this.blob(file)}.${ownerText(this.owner)}${INCOMPLETE}`;
    for (const { path: found, owner } of await this.partials(file)) {
      if (owner !== null && (await isAtWork(owner, found))) return { kind: 'taken', by: owner };
      const isMine = await rename(found, path).then(
        () => true,
        () => false,
      );
      return isMine ? { kind: 'own', path } : this.claim(file); // somebody else was faster
    }
    const isNew = await writeFile(path, '', { flag: 'wx' }).then(
      () => true,
      (error: unknown) => {
        if (codeOf(error) !== 'EEXIST') throw error;
        return false;
      },
    );
    if (!isNew) return { kind: 'taken', by: this.owner }; // another pull of this process
    const other = await this.elderOf(file, path);
    if (other === null) return { kind: 'own', path };
    await rm(path);
    return { kind: 'taken', by: other };
  }

  /** Leaves what came of a claimed file to whoever fetches it next. */
  async keep(file: RemoteFile, path: string): Promise<void> {
    await rename(path, `${this.blob(file)}${KEPT}`);
  }

  /** A claimed file is whole: from now on it is there. */
  async finish(file: RemoteFile, path: string): Promise<void> {
    await rename(path, this.blob(file));
  }

  /** Puts a file that is there into the snapshot of a commit. Where the disk or the user may not link, the file itself goes there. */
  async link(commit: string, file: RemoteFile): Promise<void> {
    const path = join(this.snapshot(commit), file.path);
    await mkdir(dirname(path), { recursive: true });
    if ((await lstat(path).catch(() => null)) !== null) return;
    if (!this.mayLink) return rename(this.blob(file), path);
    await symlink(relative(dirname(path), this.blob(file)), path).catch(async (error: unknown) => {
      if (codeOf(error) === 'EEXIST') return;
      if (!CANT_LINK.has(codeOf(error))) throw error;
      await rename(this.blob(file), path);
    });
  }

  /** From now on a branch or tag is this commit, whose files are all there. */
  async setRevision(revision: string, commit: string): Promise<void> {
    const path = join(this.folder, 'refs', revision);
    const written = `${path}.${ownerText(this.owner)}`;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(written, commit);
    await rename(written, path);
  }

  private blob({ hash }: RemoteFile): string {
    return join(this.folder, 'blobs', hash.hex);
  }

  /** What there is of a file, and of whom. */
  private async partials(
    file: RemoteFile,
  ): Promise<readonly { readonly path: string; readonly owner: Owner | null }[]> {
    const begin = `${file.hash.hex}.`;
    const names = await readdir(join(this.folder, 'blobs'));
    return names.flatMap((name) => {
      if (!name.startsWith(begin) || !name.endsWith(INCOMPLETE)) return [];
      const owner = ownerOf(name.slice(begin.length, -INCOMPLETE.length));
      const isOurs = owner !== null || name === `${file.hash.hex}${KEPT}`; // other tools have other names
      return isOurs ? [{ path: join(this.folder, 'blobs', name), owner }] : [];
    });
  }

  /** Another process that began when this one did or before. Of two in the same moment both give way, and come again. */
  private async elderOf(file: RemoteFile, own: string): Promise<Owner | null> {
    const bornAt = (path: string): Promise<bigint> =>
      stat(path, { bigint: true }).then(({ birthtimeNs }) => birthtimeNs);
    const ownBirth = await bornAt(own);
    for (const { path, owner } of await this.partials(file)) {
      if (owner === null || path === own || !(await isAtWork(owner, path))) continue;
      if ((await bornAt(path).catch(() => ownBirth + 1n)) <= ownBirth) return owner;
    }
    return null;
  }
}

async function isAtWork(owner: Owner, path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  const isFresh = found !== null && Date.now() - found.mtimeMs < ABANDONED_MS;
  return (await isRunning(owner)) ?? isFresh;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

const CANT_LINK: ReadonlySet<string> = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']);
