/** A file that grows by whole lines, each on the disk before anybody goes on. */
import { open, type FileHandle } from 'node:fs/promises';

/** What of an open file is needed. */
export type OpenFile = Pick<FileHandle, 'write' | 'truncate' | 'datasync' | 'close'>;

/** The end of a file. */
export class GrowingFile {
  private last: Promise<void> = Promise.resolve();

  /** @param numBytes that are there already */
  constructor(
    private readonly file: OpenFile,
    private numBytes: number,
  ) {}

  /** A file that is there. @throws what the file system throws */
  static async open(path: string): Promise<GrowingFile> {
    const file = await open(path, 'r+');
    return new GrowingFile(file, (await file.stat()).size);
  }

  /** One after the other. @throws what the file system throws: what was written of it is taken back, then or by the next one */
  append(text: string): Promise<void> {
    const work = this.last.then(() => this.write(Buffer.from(text)));
    this.last = work.catch(() => undefined);
    return work;
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.last;
    await this.file.close().catch(() => undefined); // closed before
  }

  private async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) {
        done += (await this.file.write(bytes, done, bytes.length - done, this.numBytes + done)).bytesWritten;
      }
      await this.file.datasync();
    } catch (error) {
      await this.file.truncate(this.numBytes).catch(() => undefined);
      throw error;
    }
    this.numBytes += bytes.length;
  }
}
