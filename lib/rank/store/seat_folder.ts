/** Which folder of a disk tier is a rank's: PATH/IDENTITY/SEAT, or the next number that no living process has. Why: docs/decisions/kv_store.md#files-of-one-identity-mean-the-same */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PathLock } from '../../../base/path_lock.js';
import type { KvStorePlan } from '../../protocol/kv_store_plan.js';
import { SYSTEM_CALLS } from './disk_calls.js';
import { FolderFiles } from './folder_files.js';
import type { BlockFiles } from './block_files.js';

/** Of one identity, at once; more is a slip. */
const MAX_FOLDERS = 1024;

/** The files of a rank. Null: all folders are taken. @throws what the file system throws */
export async function openSeatFolder(
  { disk, ...sizes }: KvStorePlan & { readonly disk: NonNullable<KvStorePlan['disk']> },
  seat: number,
): Promise<BlockFiles | null> {
  const all = join(disk.path, disk.identity);
  await SYSTEM_CALLS.makeFolder(all);
  for (const number of foldersFor(seat)) {
    const folder = join(all, String(number));
    const lock = await takeLock(folder);
    if (lock === null) continue;
    const release = (): Promise<void> => lock.release();
    return new FolderFiles({ folder, calls: SYSTEM_CALLS, sizes, release });
  }
  return null;
}

/** Null: another process has it. Two that begin at once see each other's locks and let both go: they try again, each after a time of its own. */
async function takeLock(folder: string): Promise<PathLock | null> {
  for (let tries = 1; ; tries++) {
    // Where somebody removes a lock two may write: they count wrong, but whatever is read is checked.
    const taken = await PathLock.take(folder, () => undefined);
    if (taken instanceof PathLock) return taken;
    if (tries === MAX_TRIES || !(await isYoung(taken.path))) return null;
    await delay(MAX_PAUSE_MS * Math.random());
  }
}

const MAX_TRIES = 6;
const MAX_PAUSE_MS = 60;
const YOUNG_MS = 1000;

async function isYoung(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found === null || Date.now() - found.mtimeMs < YOUNG_MS;
}

/** Its own first. */
const foldersFor = (seat: number): readonly number[] => [
  seat,
  ...[...Array(MAX_FOLDERS).keys()].filter((number) => number !== seat),
];
