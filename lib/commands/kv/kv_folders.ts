/** The folder of a disk tier, whose instances may be stopped. */
import { stat } from 'node:fs/promises';
import { causeText } from '../../../base/foreign_text.js';
import { ConfigError } from '../../config/errors.js';
import { bytes, table } from '../../metrics/charts.js';
import { clearStored, storedFolders, type StoredFolder } from '../../rank/store/stored_folders.js';

/** What lies there, as text or JSON, ending with a new line. @throws ConfigError NOT_FOUND, INVALID_VALUE */
export async function listFolders(path: string, isJson: boolean): Promise<string> {
  const folders = await reading(path, storedFolders);
  if (isJson) return jsonOf({ folders });
  if (folders.length === 0) return 'no blocks\n';
  const rows = folders.map(({ identity, number, numBlocks, numBytes, pid }) => [
    ...[`${identity.slice(0, 12)}…/${number}`, String(numBlocks), bytes(numBytes)],
    pid === null ? '' : `process ${pid} has it`,
  ]);
  return `${table([['', 'blocks', 'bytes', ''], ...rows])}\n`;
}

/** Removes what no process has. @throws ConfigError NOT_FOUND, INVALID_VALUE */
export async function clearFolders(path: string, isJson: boolean): Promise<string> {
  const cleared = await reading(path, clearStored);
  const left = (await reading(path, storedFolders)).filter(({ pid }) => pid !== null);
  if (isJson) return jsonOf({ cleared, left });
  const text = `cleared: ${sumOf(cleared, 'numBlocks')} blocks, ${bytes(sumOf(cleared, 'numBytes'))}`;
  return left.length === 0 ? `${text}\n` : `${text} · left, since processes have them: ${numbersOf(left)}\n`;
}

const sumOf = (folders: readonly StoredFolder[], key: 'numBlocks' | 'numBytes'): number =>
  folders.reduce((sum, folder) => sum + folder[key], 0);

const numbersOf = (folders: readonly StoredFolder[]): string =>
  folders.map(({ identity, number, pid }) => `${identity.slice(0, 12)}…/${number} (${pid})`).join(', ');

/** One object. */
function jsonOf(lists: Readonly<Record<string, readonly StoredFolder[]>>): string {
  const entries = Object.entries(lists).map(([name, folders]) => [name, folders.map(folderJson)]);
  return `${JSON.stringify(Object.fromEntries(entries))}\n`;
}

const folderJson = ({ identity, number, numBlocks, numBytes, pid }: StoredFolder): object => ({
  ...{ identity, number, blocks: numBlocks, bytes: numBytes, pid },
});

async function reading<T>(path: string, read: (path: string) => Promise<T>): Promise<T> {
  const key = '--path';
  if ((await stat(path).catch(() => null))?.isDirectory() !== true) {
    throw new ConfigError('NOT_FOUND', `${path} is no folder; give the path of engine.kv_tiers`, { key });
  }
  return read(path).catch((cause: unknown) => {
    throw new ConfigError('INVALID_VALUE', `${path} can't be read (${causeText(cause)}); look at its rights`, {
      key,
      cause,
    });
  });
}
