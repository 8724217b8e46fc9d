/** A file that is being fetched: what has come of it, on disk and as a hash. */
import { createHash, type Hash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import type { RemoteFile } from './hub_repository.js';

/** Bytes that are written at once, or that a read takes. */
const PIECE_BYTES = 2 ** 20;

/** Bytes are hashed as they come and written a piece at a time, one piece beside the next that comes. Whoever opened it closes it. */
export class PartialFile {
  private hash: Hash;
  private waiting: Uint8Array[] = [];
  private numWaiting = 0;
  private writing: Promise<void> = Promise.resolve();

  private constructor(
    private readonly handle: FileHandle,
    private readonly file: RemoteFile,
    private numHashed: number,
  ) {
    this.hash = hashFor(file);
  }

  /** Goes on with what there is of a file, which is hashed again; it is made where it isn't there. @throws what the file system throws */
  static async open(path: string, file: RemoteFile): Promise<PartialFile> {
    const handle = await open(path, 'r+').catch(() => open(path, 'wx+'));
    const partial = new PartialFile(handle, file, 0);
    try {
      await partial.hashWhatIsThere();
      return partial;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** How many have come. */
  get numBytes(): number {
    return this.numHashed;
  }

  /** Adds what comes next. Resolves when there is room for more. @throws what the file system throws, of earlier pieces too */
  async append(bytes: Uint8Array): Promise<void> {
    this.hash.update(bytes);
    this.numHashed += bytes.length;
    this.waiting.push(bytes);
    this.numWaiting += bytes.length;
    if (this.numWaiting >= PIECE_BYTES) await this.write();
  }

  /** All that came is on its way to the disk when this resolves. @throws what the file system throws */
  async flush(): Promise<void> {
    await this.write();
    await this.writing;
  }

  /** Forgets all that came. */
  async restart(): Promise<void> {
    await this.writing.catch(() => undefined);
    this.waiting = [];
    this.numWaiting = 0;
    await this.handle.truncate(0);
    this.hash = hashFor(this.file);
    this.numHashed = 0;
  }

  /** Hexadecimal, of all that came, once. */
  digest(): string {
    return this.hash.digest('hex');
  }

  /** What came goes to the disk before, if it can. */
  async close(): Promise<void> {
    await this.flush().catch(() => undefined);
    await this.handle.close();
  }

  private async write(): Promise<void> {
    const pieces = this.waiting;
    const end = this.numHashed;
    const begin = end - this.numWaiting;
    this.waiting = [];
    this.numWaiting = 0;
    await this.writing;
    this.writing = writeAll(this.handle, pieces, begin);
    this.writing.catch(() => undefined); // whoever comes next is told
  }

  private async hashWhatIsThere(): Promise<void> {
    const piece = new Uint8Array(PIECE_BYTES);
    const { size } = await this.handle.stat();
    while (this.numHashed < size) {
      const { bytesRead } = await this.handle.read(piece, 0, piece.length, this.numHashed);
      if (bytesRead === 0) return;
      this.hash.update(piece.subarray(0, bytesRead));
      this.numHashed += bytesRead;
    }
  }
}

/** As the hub knows files: SHA-256 of the bytes, or the number of Git's object. */
function hashFor({ hash: { kind }, size }: RemoteFile): Hash {
  return kind === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}

async function writeAll(handle: FileHandle, pieces: readonly Uint8Array[], begin: number): Promise<void> {
  const numBytes = pieces.reduce((sum, { length }) => sum + length, 0);
  if (numBytes === 0) return;
  const { bytesWritten } = await handle.writev(pieces, begin);
  if (bytesWritten === numBytes) return;
  const rest = Buffer.concat(pieces).subarray(bytesWritten); // the system may take less than it was given
  await writeAll(handle, [rest], begin + bytesWritten);
}
