/** Writes a recording as it comes; memory is bounded by waiting for the disk. */
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip, type Gzip } from 'node:zlib';
import { headerLine, type RecordingHeader } from './recording.js';

/** A gzip file that is being written. */
export class RecordingWriter {
  private isClosed = false;

  private constructor(
    private readonly gzip: Gzip /** Rejects with what writing met, a full disk for instance. */,
    private readonly written: Promise<void>,
  ) {
    written.catch(() => undefined); // told by write and close
  }

  /** Creates or replaces the file. @throws what the file system says where it can't be written */
  static async create(path: string, header: RecordingHeader): Promise<RecordingWriter> {
    const file = await open(path, 'w');
    const gzip = createGzip();
    const writer = new RecordingWriter(gzip, pipeline(gzip, file.createWriteStream()));
    await writer.write(headerLine(header));
    return writer;
  }

  /** Adds lines; resolves when more may come. @throws what writing met */
  async write(lines: string): Promise<void> {
    if (this.gzip.destroyed) await this.written;
    if (!this.gzip.write(lines)) await Promise.race([once(this.gzip, 'drain'), this.written]);
  }

  /** Ends the file. Idempotent. @throws what writing met */
  async close(): Promise<void> {
    if (!this.isClosed) this.gzip.end();
    this.isClosed = true;
    await this.written;
  }
}
