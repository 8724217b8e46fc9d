/** A recording in memory, compressed as its file would be, and no longer than it may be. */
import { once } from 'node:events';
import { createGzip, type Gzip } from 'node:zlib';
import type { RecordingSink } from './load_recorder.js';
import { headerLine, type RecordingHeader } from './recording.js';

/** Its bytes are those of a file that `readRecording` reads. */
export class RecordingMemory implements RecordingSink {
  private readonly gzip: Gzip = createGzip();
  private readonly ended: Promise<unknown>;
  private readonly chunks: Buffer[] = [];
  private numHeld = 0;

  /** @param maxBytes what it may grow to, by a few lines more */
  constructor(
    header: RecordingHeader,
    private readonly maxBytes: number,
  ) {
    this.gzip.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.numHeld += chunk.length;
    });
    this.ended = once(this.gzip, 'end');
    this.gzip.write(headerLine(header));
  }

  /** Compressed so far; a little is still in the compressor. */
  get numBytes(): number {
    return this.numHeld;
  }

  /** It should be ended. */
  get isFull(): boolean {
    return this.numHeld >= this.maxBytes;
  }

  /** Adds lines. */
  async write(lines: string): Promise<void> {
    if (!this.gzip.write(lines)) await once(this.gzip, 'drain');
  }

  /** Ends it. Idempotent. */
  async close(): Promise<void> {
    if (!this.gzip.writableEnded) this.gzip.end();
    await this.ended;
  }

  /** All of it; it is closed. */
  bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}
