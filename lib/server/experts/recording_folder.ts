/** The folder of recordings that a server's operator chose; no client names a file in it. */
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Writes a new file. Returns its name. @throws what the file system says */
export async function writeRecording(folder: string, bytes: Uint8Array): Promise<string> {
  const time = new Date().toISOString().replace(/[:.]/g, '-');
  const name = `experts-${time}-${randomUUID().slice(0, 8)}.jsonl.gz`;
  await writeFile(join(folder, name), bytes, { flag: 'wx' });
  return name;
}
