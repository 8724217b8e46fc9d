/** What a disk tier holds, looked at from outside: of jobs that run, and of those that don't any more. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { holderOf } from '../../../base/path_lock.js';
import { SYSTEM_CALLS } from './disk_calls.js';
import { isBlockFile, isPartFolder } from './folder_files.js';

/** Of one rank: PATH/IDENTITY/NUMBER. */
export interface StoredFolder {
  /** 64 hexadecimal digits: of one model, its weights and settings. */
  readonly identity: string;
  /** The seat of its rank, unless another job had that. */
  readonly number: number;
  readonly numBlocks: number;
  /** Of its files. */
  readonly numBytes: number;
  /** The process that has it now; null: none. */
  readonly pid: number | null;
}

/** By identity and number; none where there is no such folder. @throws what the file system throws */
export async function storedFolders(path: string): Promise<readonly StoredFolder[]> {
  const folders = await foldersIn(path);
  return Promise.all(
    folders.map(async ({ identity, number, pid, folder }) => {
      const files = await filesIn(folder);
      return { identity, number, numBlocks: files.length, numBytes: sumOf(files), pid };
    }),
  );
}

/** Removes what no process has, and returns that. Files of others stay. @throws what the file system throws */
export async function clearStored(path: string): Promise<readonly StoredFolder[]> {
  const free = (await storedFolders(path)).filter(({ pid }) => pid === null);
  for (const { identity, number } of free) {
    for (const file of await filesIn(join(path, identity, String(number)))) await rm(file.path, { force: true });
  }
  return free;
}

/**
 * Removes what other identities have that no process has and nobody used for a day, the oldest first, until all that they have is no more than `maxBytes`. Who takes such a folder
 * meanwhile misses some files, as after any other loss. @throws what the file system throws
 */
export async function removeForgotten(path: string, identity: string, maxBytes: number): Promise<void> {
  const free = (await foldersIn(path)).filter((each) => each.pid === null && each.identity !== identity);
  const files = (await Promise.all(free.map(({ folder }) => filesIn(folder)))).flat();
  const oldest = files.filter(({ usedMs }) => Date.now() - usedMs > FORGOTTEN_MS).sort((a, b) => a.usedMs - b.usedMs);
  let tooMany = sumOf(files) - maxBytes;
  for (const file of oldest) {
    if (tooMany <= 0) return;
    await rm(file.path, { force: true });
    tooMany -= file.numBytes;
  }
}

const FORGOTTEN_MS = 24 * 3_600_000;
const IDENTITY = /^[0-9a-f]{64}$/;
const NUMBER = /^\d{1,6}$/;

interface Folder extends Pick<StoredFolder, 'identity' | 'number' | 'pid'> {
  readonly folder: string;
}

interface BlockFile {
  readonly path: string;
  readonly numBytes: number;
  readonly usedMs: number;
}

async function foldersIn(path: string): Promise<readonly Folder[]> {
  const folders: Folder[] = [];
  for (const identity of (await SYSTEM_CALLS.namesIn(path)).filter((name) => IDENTITY.test(name)).toSorted()) {
    const numbers = (await SYSTEM_CALLS.namesIn(join(path, identity))).filter((name) => NUMBER.test(name)).map(Number);
    for (const number of numbers.toSorted((a, b) => a - b)) {
      const folder = join(path, identity, String(number));
      folders.push({ identity, number, folder, pid: (await holderOf(folder))?.owner.pid ?? null });
    }
  }
  return folders;
}

async function filesIn(folder: string): Promise<readonly BlockFile[]> {
  const files: BlockFile[] = [];
  for (const part of (await SYSTEM_CALLS.namesIn(folder)).filter(isPartFolder)) {
    for (const name of (await SYSTEM_CALLS.namesIn(join(folder, part))).filter(isBlockFile)) {
      const path = join(folder, part, name);
      const size = await SYSTEM_CALLS.sizeOf(path).catch(() => null); // it went meanwhile
      if (size !== null) files.push({ path, ...size });
    }
  }
  return files;
}

const sumOf = (files: readonly BlockFile[]): number => files.reduce((sum, { numBytes }) => sum + numBytes, 0);
