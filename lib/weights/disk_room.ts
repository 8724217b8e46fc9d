/** Whether a disk has room for what is to be written. */
import { access, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { WeightError } from './errors.js';

/** @param advice what to do where there is none, for the message @throws WeightError WRITE_FAILED where the disk of a folder, which may not exist yet, can't hold so much */
export async function checkRoom(dir: string, numBytes: number, advice: string): Promise<void> {
  const disk = await statfs(await nearestFolder(dir)).catch(() => null); // the writing itself will tell
  if (disk === null || numBytes <= disk.bavail * disk.bsize) return;
  const [needed, free] = [numBytes, disk.bavail * disk.bsize].map(sizeText);
  throw new WeightError('WRITE_FAILED', `${dir} would take ${needed}, and its disk has ${free} free; ${advice}`, {
    file: dir,
  });
}

const sizeText = (size: number): string =>
  size < 2 ** 30 ? `${(size / 2 ** 20).toFixed(1)} MiB` : `${(size / 2 ** 30).toFixed(1)} GiB`;

/** The folder itself, or the nearest above it that exists. */
async function nearestFolder(dir: string): Promise<string> {
  const path = resolve(dir);
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  return isThere || dirname(path) === path ? path : nearestFolder(dirname(path));
}
