/** The folder of files and batches: what is in it outlives the server. Why: docs/decisions/batches.md#a-folder-is-all-there-is */
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { causeText, jsonOrUndefined } from '../../../base/foreign_text.js';
import { holderOf, PathLock, type OtherHolder } from '../../../base/path_lock.js';
import { writeWhole } from '../../../base/whole_file.js';
import { ConfigError } from '../../config/errors.js';
import { BATCH_RECORD, type BatchRecord } from './batch_record.js';
import type { RowPaths } from './row_files.js';
import { STORED_FILE, type StoredFile } from './stored_file.js';

const KEY = 'server.batches.folder';
/** Of files with prompts in them. */
const MODE = 0o600;

/** What was read when it was opened. */
export interface FoundBatches {
  readonly files: readonly StoredFile[];
  readonly batches: readonly BatchRecord[];
}

/** Of one server. */
export class BatchFolder {
  private made: Promise<string> | null = null;

  private constructor(
    private readonly folder: string | null,
    private readonly lock: PathLock | null,
    readonly found: FoundBatches,
  ) {}

  /** Whether it can be used, before an engine is started. @throws ConfigError as {@link open} does */
  static async check(folder: string | null): Promise<void> {
    if (folder === null) return;
    try {
      await mkdir(resolve(folder), { recursive: true, mode: 0o700 });
      const other = await holderOf(resolve(folder));
      if (other !== null) throw held(folder, other);
    } catch (cause) {
      throw unusable(folder, cause);
    }
  }

  /** Null: a temporary one, which is there when there is something in it. @throws ConfigError INVALID_VALUE where it can't be used, or another server has it */
  static async open(folder: string | null, warn: (text: string) => void): Promise<BatchFolder> {
    if (folder === null) return new BatchFolder(null, null, { files: [], batches: [] });
    const path = resolve(folder);
    try {
      await mkdir(join(path, 'files'), { recursive: true, mode: 0o700 });
      await mkdir(join(path, 'batches'), { recursive: true, mode: 0o700 });
      const onLost = (): void =>
        warn(`the lock of ${path} was removed: another server may use it too; end one of them`);
      const lock = await PathLock.takeInTurn(path, onLost);
      if (!(lock instanceof PathLock)) throw held(folder, lock);
      try {
        return new BatchFolder(path, lock, await read(path, warn));
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (cause) {
      throw unusable(folder, cause);
    }
  }

  /** Takes what comes, while `hasRoom` for all of it so far: null where it hasn't, and nothing is kept. @throws what the file system and `content` throw */
  async receive(
    id: string,
    content: AsyncIterable<Uint8Array>,
    hasRoom: (numBytes: number) => boolean,
  ): Promise<number | null> {
    const path = `${await this.contentOf(id)}${ARRIVING}`;
    const file = await open(path, 'w', MODE);
    let [numBytes, fits, isWhole] = [0, true, false];
    try {
      for await (const chunk of content) {
        numBytes += chunk.length;
        fits &&= hasRoom(numBytes);
        if (fits) await file.writeFile(chunk);
      }
      await file.datasync();
      isWhole = fits;
    } finally {
      await file.close();
      if (!isWhole) await rm(path, { force: true });
    }
    return isWhole ? numBytes : null;
  }

  /** What was received is a file from now on. @throws what the file system throws */
  async keep(file: StoredFile): Promise<void> {
    const path = await this.contentOf(file.id);
    await rename(`${path}${ARRIVING}`, path);
    await this.writeFile(file);
  }

  /** What was received isn't wanted. */
  async drop(id: string): Promise<void> {
    await rm(`${await this.contentOf(id)}${ARRIVING}`, { force: true });
  }

  /** Rows of a batch become a file; false: there are none. Once or again. @throws what the file system throws */
  async publish(rows: string, file: Omit<StoredFile, 'bytes'>): Promise<StoredFile | null> {
    const path = await this.contentOf(file.id);
    const found = await sizeOf(rows);
    if (found === 0) await rm(rows, { force: true });
    else if (found !== null) await rename(rows, path);
    const bytes = await sizeOf(path);
    if (bytes === null) return null;
    const stored = { ...file, bytes };
    await this.writeFile(stored);
    return stored;
  }

  /** Its content, from the beginning. */
  async read(id: string): Promise<AsyncIterable<Uint8Array> & NodeJS.ReadableStream> {
    return createReadStream(await this.contentOf(id));
  }

  /** It is no more. @throws what the file system throws */
  async removeFile(id: string): Promise<void> {
    const path = await this.contentOf(id);
    await rm(`${path}${RECORD}`, { force: true });
    await rm(path, { force: true });
  }

  /** @throws what the file system throws */
  async writeBatch(batch: BatchRecord): Promise<void> {
    const path = join(await this.there(), 'batches', `${batch.id}${RECORD}`);
    await writeWhole(path, `${JSON.stringify(batch)}\n`, MODE);
  }

  /** With what it left behind. @throws what the file system throws */
  async removeBatch(id: string): Promise<void> {
    const { output, errors } = await this.rowsOf(id);
    await rm(join(await this.there(), 'batches', `${id}${RECORD}`), { force: true });
    for (const path of [output, errors]) await rm(path, { force: true });
  }

  /** Where the rows of a batch grow. */
  async rowsOf(id: string): Promise<RowPaths> {
    const path = join(await this.there(), 'batches', id);
    return { output: `${path}.output.jsonl`, errors: `${path}.errors.jsonl` };
  }

  /** A temporary folder goes. Idempotent. */
  async close(): Promise<void> {
    await this.lock?.release();
    const made = await this.made?.catch(() => null);
    if (made != null) await rm(made, { recursive: true, force: true });
  }

  private async writeFile(file: StoredFile): Promise<void> {
    await writeWhole(`${await this.contentOf(file.id)}${RECORD}`, `${JSON.stringify(file)}\n`, MODE);
  }

  private async contentOf(id: string): Promise<string> {
    return join(await this.there(), 'files', id);
  }

  private there(): Promise<string> {
    if (this.folder !== null) return Promise.resolve(this.folder);
    this.made ??= makeTemporary().catch((error: unknown) => {
      this.made = null; // the next one tries again
      throw error;
    });
    return this.made;
  }
}

const RECORD = '.json';
const ARRIVING = '.arriving';
/** As ids of files are. */
const CONTENT_NAME = /^file-[0-9a-f]{24}(\.arriving)?$/;

async function makeTemporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'expertwire-batches-'));
  for (const name of ['files', 'batches']) await mkdir(join(folder, name));
  return folder;
}

async function sizeOf(path: string): Promise<number | null> {
  const found = await stat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  });
  return found?.size ?? null;
}

/** What has no record was not whole when its server died, and goes. */
async function read(folder: string, warn: (text: string) => void): Promise<FoundBatches> {
  const files: StoredFile[] = [];
  const batches: BatchRecord[] = [];
  const names = await readdir(join(folder, 'files'));
  for (const name of names.filter((each) => each.endsWith(RECORD))) {
    const file = STORED_FILE.safeParse(await jsonAt(join(folder, 'files', name))).data;
    if (file === undefined) warn(unread(join(folder, 'files', name)));
    else files.push(file);
  }
  const finishing = new Set<string>();
  for (const name of (await readdir(join(folder, 'batches'))).filter((each) => each.endsWith(RECORD))) {
    const batch = BATCH_RECORD.safeParse(await jsonAt(join(folder, 'batches', name))).data;
    if (batch === undefined) warn(unread(join(folder, 'batches', name)));
    else batches.push(batch);
    for (const id of [batch?.outputFileId, batch?.errorFileId]) if (id !== undefined) finishing.add(id);
  }
  for (const name of names) {
    if (!CONTENT_NAME.test(name)) continue; // it isn't the server's
    const isHalf = name.endsWith(ARRIVING) || !names.includes(`${name}${RECORD}`);
    if (isHalf && !finishing.has(name)) await rm(join(folder, 'files', name), { force: true });
  }
  const byAge = (a: { readonly createdS: number }, b: { readonly createdS: number }): number => a.createdS - b.createdS;
  return { files: files.sort(byAge), batches: batches.sort(byAge) };
}

const jsonAt = async (path: string): Promise<unknown> => jsonOrUndefined(await readFile(path, 'utf8'));

const unread = (path: string): string => `${path} can't be read, and is passed over; delete it`;

const held = (folder: string, { owner: { pid, host }, path }: OtherHolder): ConfigError => {
  const text = `"${KEY}" is ${folder}, which process ${pid} on ${host} uses (${dirname(path)} has its lock); give each server its own, or end that one`;
  return new ConfigError('INVALID_VALUE', text, { key: KEY });
};

/** What was told already is told as it is. */
const unusable = (folder: string, cause: unknown): ConfigError => {
  if (cause instanceof ConfigError) return cause;
  const text = `"${KEY}" is ${folder}, which can't be used (${causeText(cause)}); give the path of a folder that can be written`;
  return new ConfigError('INVALID_VALUE', text, { key: KEY, cause });
};
