/** Files that are never seen in half. */
import { open, rename, rm } from 'node:fs/promises';

/** Whole, or not at all, and on the disk. `mode`: of a file that isn't there yet. @throws what the file system throws */
export async function writeWhole(path: string, content: string | Uint8Array, mode = 0o666): Promise<void> {
  const beside = `${path}.next`;
  try {
    const file = await open(beside, 'w', mode);
    try {
      await file.writeFile(content);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
