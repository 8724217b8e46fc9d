/** The files that clients sent and that batches left, each for its owner alone. */
import { randomBytes } from 'node:crypto';
import type { ExpertwireConfig } from '../../config/schema.js';
import { shown } from '../../../base/foreign_text.js';
import { ApiError } from '../base/api_error.js';
import type { BatchFolder } from './batch_folder.js';
import { storageError } from './storage_error.js';
import type { StoredFile } from './stored_file.js';

/** What files may take. */
export type FileLimits = Pick<ExpertwireConfig['server']['batches'], 'max_file_bytes' | 'max_bytes'>;

/** However small they are. */
const MAX_FILES = 10_000;

/** What its client says of a file. */
export type FileAsked = Pick<StoredFile, 'owner' | 'filename'> & { readonly expiresAfterS: number | null };

/** All of a server. */
export class StoredFiles {
  private readonly files = new Map<string, StoredFile>();
  /** What is no file yet, and how much of it is there. */
  private readonly arriving = new Map<string, number>();

  /** `isInUse`: a batch that isn't over reads it. */
  constructor(
    private readonly folder: BatchFolder,
    private readonly limits: FileLimits,
    private readonly isInUse: (id: string) => boolean,
    private readonly nowS: () => number,
  ) {
    for (const file of folder.found.files) this.files.set(file.id, file);
  }

  /** @throws ApiError NOT_FOUND where it isn't, or isn't the owner's */
  find(id: string, owner: string, param: string): StoredFile {
    const file = this.files.get(id);
    if (file?.owner === owner && !this.isExpired(file)) return file;
    throw new ApiError('NOT_FOUND', `there is no file ${shown(id)}; it was deleted, or is another's`, { param });
  }

  /** Of an owner, oldest first. */
  list(owner: string): StoredFile[] {
    return [...this.files.values()].filter((file) => file.owner === owner && !this.isExpired(file));
  }

  /** Takes what comes; it is no file yet, until it is kept or dropped. @throws ApiError BODY_TOO_LARGE, STORAGE_FULL */
  async receive(content: AsyncIterable<Uint8Array>): Promise<{ readonly id: string; readonly bytes: number }> {
    await this.sweep();
    if (this.files.size + this.arriving.size >= MAX_FILES) {
      throw new ApiError('STORAGE_FULL', `there are ${MAX_FILES} files, and no room for more; delete some`);
    }
    const id = newFileId();
    const { max_file_bytes: most, max_bytes: mostOfAll } = this.limits;
    let asked = 0;
    const hasRoom = (numBytes: number): boolean => {
      asked = numBytes;
      return numBytes <= most && this.reserve(id, numBytes);
    };
    this.arriving.set(id, 0);
    let bytes: number | null = null;
    try {
      bytes = await this.folder.receive(id, content, hasRoom).catch(storageError);
    } finally {
      if (bytes === null) this.arriving.delete(id);
    }
    if (bytes !== null) return { id, bytes };
    if (asked <= most) throw noRoom(mostOfAll);
    const text = `the file has more than server.batches.max_file_bytes, ${most} bytes; send it in several files`;
    throw new ApiError('BODY_TOO_LARGE', text, { param: 'file' });
  }

  /** What was received is a file. @throws ApiError STORAGE_FULL */
  async keep(id: string, bytes: number, { owner, filename, expiresAfterS }: FileAsked): Promise<StoredFile> {
    if (!this.reserve(id, bytes)) throw noRoom(this.limits.max_bytes); // a batch left rows meanwhile
    const createdS = this.nowS();
    const expiresS = expiresAfterS === null ? null : createdS + expiresAfterS;
    const file: StoredFile = { id, owner, purpose: 'batch', filename, bytes, createdS, expiresS };
    await this.folder.keep(file).catch(storageError);
    this.arriving.delete(id);
    this.files.set(id, file);
    return file;
  }

  /** What was received isn't wanted. */
  async drop(id: string): Promise<void> {
    await this.folder.drop(id);
    this.arriving.delete(id);
  }

  /** From the beginning; of a file that was found. @throws ApiError STORAGE_FULL */
  content(id: string): ReturnType<BatchFolder['read']> {
    return this.folder.read(id).catch(storageError);
  }

  /** A batch left it. */
  add(file: StoredFile): void {
    this.files.set(file.id, file);
  }

  /** @throws ApiError NOT_FOUND; CONFLICT while a batch reads it */
  async remove(id: string, owner: string): Promise<void> {
    this.find(id, owner, 'file_id');
    if (this.isInUse(id)) {
      throw new ApiError('CONFLICT', `a batch reads file ${id}; cancel the batch, or wait for its end`);
    }
    this.files.delete(id);
    await this.folder.removeFile(id).catch(storageError);
  }

  /** Counts what came of a file, where there is room for it beside all others. */
  private reserve(id: string, numBytes: number): boolean {
    let all = numBytes - (this.arriving.get(id) ?? 0);
    for (const { bytes } of this.files.values()) all += bytes;
    for (const bytes of this.arriving.values()) all += bytes;
    if (all > this.limits.max_bytes) return false;
    this.arriving.set(id, numBytes);
    return true;
  }

  private readonly isExpired = ({ id, expiresS }: StoredFile): boolean =>
    expiresS !== null && expiresS <= this.nowS() && !this.isInUse(id);

  private async sweep(): Promise<void> {
    for (const file of [...this.files.values()].filter(this.isExpired)) {
      this.files.delete(file.id);
      await this.folder.removeFile(file.id).catch(() => undefined); // the next server tries again
    }
  }
}

/** Of a new file. */
export const newFileId = (): string => `file-${randomBytes(12).toString('hex')}`;

const noRoom = (maxBytes: number): ApiError =>
  new ApiError('STORAGE_FULL', `all files may have server.batches.max_bytes, ${maxBytes} bytes; delete some first`);
