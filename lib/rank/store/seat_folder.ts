/** Which folder of a disk tier is a rank's: PATH/IDENTITY/SEAT, or the next number that no living process has. Why: docs/decisions/kv_store.md#files-of-one-identity-mean-the-same */
import { join } from 'node:path';
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
    // Where somebody removes a lock two may write: they count wrong, but whatever is read is checked.
    const lock = await PathLock.takeInTurn(folder, () => undefined);
    if (!(lock instanceof PathLock)) continue;
    const release = (): Promise<void> => lock.release();
    return new FolderFiles({ folder, calls: SYSTEM_CALLS, sizes, release });
  }
  return null;
}

/** Its own first. */
const foldersFor = (seat: number): readonly number[] => [
  seat,
  ...[...Array(MAX_FOLDERS).keys()].filter((number) => number !== seat),
];
