/** Numbers that wait on a disk until they are held against others: written in a row, then read in the same order. */
import { randomUUID } from 'node:crypto';
import { open, rm, statfs, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { causeText } from '../../base/foreign_text.js';
import { CompareError } from './errors.js';

/** Rows are written and read in pieces of so many floats. */
const PIECE = 2 ** 18;

/** A file that nobody else sees: its name is gone as soon as it is open, so that nothing of it is left whatever ends the process. */
export class ScratchRows {
  private readonly piece = new Float32Array(PIECE);
  private numWaiting = 0;
  private numWritten = 0;
  private numRead = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly dir: string,
  ) {}

  /** In a folder that is there. @throws CompareError SCRATCH_FAILED */
  static async create(dir: string): Promise<ScratchRows> {
    const path = join(dir, `expertwire-${randomUUID()}.scratch`);
    let file: FileHandle | undefined;
    try {
      file = await open(path, 'wx+', 0o600);
      await rm(path);
    } catch (cause) {
      await file?.close();
      await rm(path, { force: true });
      throw failed(dir, cause);
    }
    return new ScratchRows(file, dir);
  }

  /** Appends a copy. A promise where a piece is full. @throws CompareError SCRATCH_FAILED */
  write(values: Float32Array): Promise<void> | undefined {
    if (this.numWaiting + values.length > PIECE) return this.writeOut(values);
    this.piece.set(values, this.numWaiting);
    this.numWaiting += values.length;
    return undefined;
  }

  /** The next `count` numbers that were written: a copy. @throws CompareError SCRATCH_FAILED, also where there are fewer */
  async read(count: number): Promise<Float32Array> {
    await this.flush();
    const values = new Float32Array(count);
    const bytes = new Uint8Array(values.buffer);
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(4 * PIECE, bytes.length - done);
      const { bytesRead } = await this.tried(this.file.read(bytes, done, length, 4 * this.numRead + done));
      if (bytesRead === 0) throw failed(this.dir, `it ends at byte ${4 * this.numRead + done}`);
      done += bytesRead;
    }
    this.numRead += count;
    return values;
  }

  /** Gives its disk's room back. */
  async close(): Promise<void> {
    await this.file.close();
  }

  private async writeOut(values: Float32Array): Promise<void> {
    await this.flush();
    if (values.length <= PIECE) return this.write(values);
    await this.append(values);
  }

  private async flush(): Promise<void> {
    const { numWaiting } = this;
    this.numWaiting = 0;
    if (numWaiting > 0) await this.append(this.piece.subarray(0, numWaiting));
  }

  private async append(values: Float32Array): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length;) {
      const at = 4 * this.numWritten + done;
      const { bytesWritten } = await this.tried(this.file.write(bytes, done, bytes.length - done, at));
      done += bytesWritten;
    }
    this.numWritten += values.length;
  }

  private async tried<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      throw failed(this.dir, cause);
    }
  }
}

/** @throws CompareError NO_ROOM where a folder's disk has less than that free, by what it says */
export async function checkScratchRoom(dir: string, numBytes: number): Promise<void> {
  const disk = await statfs(dir).catch(() => null); // writing will tell
  const free = disk === null ? Infinity : disk.bavail * disk.bsize;
  if (numBytes <= free) return;
  const [needed, there] = [numBytes, free].map((size) => `${(size / 2 ** 20).toFixed(1)} MiB`);
  const text = `what A makes of the text takes ${needed!} on the disk of ${dir}, which has ${there!} free; ${ADVICE}`;
  throw new CompareError('NO_ROOM', text);
}

const ADVICE = 'give --max-tokens or --lens-tokens, or set TMPDIR to a folder with more room';

const failed = (dir: string, cause: unknown): CompareError =>
  new CompareError('SCRATCH_FAILED', `numbers can't be kept in ${dir} (${causeText(cause)}); ${ADVICE}`, { cause });
