/** The folder of recordings that a server's operator chose; no client names a file in it. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { causeText } from '../../../base/foreign_text.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';

/** Whether recordings can be written where the configuration says, before anybody makes one. @throws ConfigError NOT_FOUND, INVALID_VALUE */
export async function checkRecordingFolder({ record_dir: folder }: ExpertwireConfig['server']): Promise<void> {
  if (folder === null) return;
  const key = 'server.record_dir';
  try {
    if (!(await stat(folder)).isDirectory()) {
      throw new ConfigError('INVALID_VALUE', `"${key}" is ${folder}, which is no folder; give the path of one`, {
        key,
      });
    }
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const why = `"${key}" is ${folder}, where nothing can be written (${causeText(cause)})`;
    throw new ConfigError('NOT_FOUND', `${why}; give the path of a folder that is there`, { key, cause });
  }
}

/** Writes a new file. Returns its name. @throws what the file system says */
export async function writeRecording(folder: string, bytes: Uint8Array): Promise<string> {
  const time = new Date().toISOString().replace(/[:.]/g, '-');
  const name = `experts-${time}-${randomUUID().slice(0, 8)}.jsonl.gz`;
  await writeFile(join(folder, name), bytes, { flag: 'wx' });
  return name;
}
