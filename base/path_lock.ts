/**
 * Which process has a file or folder: a file beside it, PATH.PID-START-HOST.lock. Each process makes its own and only then looks for others, so that of two at once
 * at most one goes on, and one that died holds nobody up. Why: docs/decisions/elastic.md#one-head-has-a-journal
 */
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning, ownerOf, ownerText, thisOwner, type Owner } from './process_owner.js';

/** Somebody else has the path. */
export interface OtherHolder {
  readonly owner: Owner;
  /** Of its lock. */
  readonly path: string;
}

/** So often a lock says that its process is there, for those who can't see it. */
const SIGN_EVERY_MS = 5000;

/** What another machine's process hasn't touched for so long it left behind: so do containers that are started again under other names. */
const ABANDONED_MS = 20_000;

/** One process's hold on a path. */
export class PathLock {
  private readonly signs: NodeJS.Timeout;

  private constructor(
    private readonly path: string,
    private readonly owner: Owner,
    onLost: () => void,
  ) {
    this.signs = setInterval(() => void this.sign(onLost), SIGN_EVERY_MS).unref();
  }

  /**
   * Holds what is or will be at `held`, in a folder that is there, or returns who does. Locks of processes that are no more are removed.
   *
   * @param onLost somebody removed the lock: others may have it from now on
   * @throws what the file system throws
   */
  static async take(held: string, onLost: () => void): Promise<PathLock | OtherHolder> {
    const owner = await thisOwner();
    const path = `${held}.${ownerText(owner)}${LOCK}`;
    if (!(await isMade(path))) return { owner, path }; // of this process
    try {
      const other = await holderOf(held, path);
      if (other === null) return new PathLock(path, owner, onLost);
      await rm(path, { force: true });
      return other;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
  }

  /** As {@link take}. Two that begin at once see each other's locks and let both go: they try again, each after a time of its own. */
  static async takeInTurn(held: string, onLost: () => void): Promise<PathLock | OtherHolder> {
    for (let tries = 1; ; tries++) {
      const taken = await PathLock.take(held, onLost);
      if (taken instanceof PathLock || tries === MAX_TRIES || !(await isYoung(taken.path))) return taken;
      await delay(MAX_PAUSE_MS * Math.random());
    }
  }

  /** Others may have it. Idempotent. */
  async release(): Promise<void> {
    clearInterval(this.signs);
    await rm(this.path, { force: true });
  }

  private async sign(onLost: () => void): Promise<void> {
    await writeFile(this.path, ownerText(this.owner), { flag: 'r+' }).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return; // a full disk is told by who writes
      clearInterval(this.signs);
      onLost();
    });
  }
}

const LOCK = '.lock';

const MAX_TRIES = 6;
const MAX_PAUSE_MS = 60;
const YOUNG_MS = 1000;

async function isYoung(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found === null || Date.now() - found.mtimeMs < YOUNG_MS;
}

/** Who has a path; null: nobody. `own`: a lock that is passed over. @throws what the file system throws */
export async function holderOf(held: string, own?: string): Promise<OtherHolder | null> {
  const begin = `${basename(held)}.`;
  for (const name of await readdir(dirname(held))) {
    if (!name.startsWith(begin) || !name.endsWith(LOCK)) continue;
    const owner = ownerOf(name.slice(begin.length, -LOCK.length));
    const path = join(dirname(held), name);
    if (owner === null || path === own) continue;
    if (await isHeld(owner, path)) return { owner, path };
    await rm(path, { force: true });
  }
  return null;
}

/** False: it was there. */
async function isMade(path: string): Promise<boolean> {
  try {
    await writeFile(path, '', { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function isHeld(owner: Owner, path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  const isFresh = found !== null && Date.now() - found.mtimeMs < ABANDONED_MS;
  return (await isRunning(owner)) ?? isFresh;
}
