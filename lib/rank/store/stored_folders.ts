/** What a disk tier holds, looked at from outside: of jobs that run, and of those that don't any more. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { holderOf } from '../../../base/path_lock.js';
import { BLOCK_FILE_HEADER_BYTES } from '../../protocol/kv_store_plan.js';
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
  const folders: StoredFolder[] = [];
  for (const identity of (await SYSTEM_CALLS.namesIn(path)).filter((name) => IDENTITY.test(name)).toSorted()) {
    const numbers = (await SYSTEM_CALLS.namesIn(join(path, identity))).filter((name) => NUMBER.test(name)).map(Number);
    for (const number of numbers.toSorted((a, b) => a - b)) {
      const folder = join(path, identity, String(number));
      const holder = await holderOf(folder);
      folders.push({ identity, number, ...(await contentOf(folder)), pid: holder?.owner.pid ?? null });
    }
  }
  return folders;
}

/** Removes what no process has, and returns that. Files of others stay. @throws what the file system throws */
export async function clearStored(path: string): Promise<readonly StoredFolder[]> {
  const free = (await storedFolders(path)).filter(({ pid }) => pid === null);
  for (const { identity, number } of free) {
    const folder = join(path, identity, String(number));
    for (const part of (await readdir(folder)).filter(isPartFolder)) await rm(join(folder, part), { recursive: true });
  }
  return free;
}

const IDENTITY = /^[0-9a-f]{64}$/;
const NUMBER = /^\d{1,6}$/;

async function contentOf(folder: string): Promise<Pick<StoredFolder, 'numBlocks' | 'numBytes'>> {
  let [numBlocks, numBytes] = [0, 0];
  for (const part of (await SYSTEM_CALLS.namesIn(folder)).filter(isPartFolder)) {
    for (const name of (await SYSTEM_CALLS.namesIn(join(folder, part))).filter(isBlockFile)) {
      const size = await stat(join(folder, part, name)).then(
        (found) => found.size,
        () => 0, // it went meanwhile
      );
      if (size <= BLOCK_FILE_HEADER_BYTES) continue;
      numBlocks++;
      numBytes += size;
    }
  }
  return { numBlocks, numBytes };
}
