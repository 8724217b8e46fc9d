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
    if (this.files.size >= MAX_FILES) {
      throw new ApiError('STORAGE_FULL', `there are ${MAX_FILES} files, and no room for more; delete some`);
    }
    const id = newFileId();
    const { max_file_bytes: most } = this.limits;
    const bytes = await this.folder.receive(id, content, Math.min(most, this.roomBytes)).catch(storageError);
    if (bytes !== null) return { id, bytes };
    if (this.roomBytes < most) throw noRoom(this.limits.max_bytes);
    const text = `the file has more than server.batches.max_file_bytes, ${most} bytes; send it in several files`;
    throw new ApiError('BODY_TOO_LARGE', text, { param: 'file' });
  }

  /** What was received is a file. @throws ApiError STORAGE_FULL */
  async keep(id: string, bytes: number, { owner, filename, expiresAfterS }: FileAsked): Promise<StoredFile> {
    if (bytes > this.roomBytes) throw noRoom(this.limits.max_bytes); // another one came meanwhile
    const createdS = this.nowS();
    const expiresS = expiresAfterS === null ? null : createdS + expiresAfterS;
    const file: StoredFile = { id, owner, purpose: 'batch', filename, bytes, createdS, expiresS };
    await this.folder.keep(file).catch(storageError);
    this.files.set(id, file);
    return file;
  }

  /** What was received isn't wanted. */
  async drop(id: string): Promise<void> {
    await this.folder.drop(id);
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

  private get roomBytes(): number {
    let numBytes = 0;
    for (const { bytes } of this.files.values()) numBytes += bytes;
    return Math.max(0, this.limits.max_bytes - numBytes);
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
