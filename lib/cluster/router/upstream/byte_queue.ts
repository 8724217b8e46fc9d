/** Bytes that came and aren't read yet: their sender is held up when they are many. No I/O. */

/** Holds up a sender. */
export interface Flow {
  pause(): void;
  resume(): void;
}

interface Reader {
  readonly resolve: (chunk: Buffer | null) => void;
  readonly reject: (error: Error) => void;
}

/** Chunks in the order in which they came, for one reader. */
export class ByteQueue {
  private chunks: Buffer[] = [];
  private numBytes = 0;
  private isPaused = false;
  private reader: Reader | null = null;
  /** Undefined: more may come. Null: it ended well. */
  private end: Error | null | undefined;

  /** @param maxUnreadBytes from which on the sender is held up; what is under way comes nevertheless */
  constructor(
    private readonly flow: Flow,
    private readonly maxUnreadBytes: number,
  ) {}

  /** More came. */
  push(chunk: Buffer): void {
    const { reader } = this;
    if (reader !== null) {
      this.reader = null;
      reader.resolve(chunk);
      return;
    }
    this.chunks.push(chunk);
    this.numBytes += chunk.length;
    if (this.isPaused || this.numBytes < this.maxUnreadBytes) return;
    this.isPaused = true;
    this.flow.pause();
  }

  /** Nothing comes any more; null: all is there. What came before can still be read. The first word counts. */
  finish(error: Error | null): void {
    if (this.end !== undefined) return;
    this.end = error;
    const { reader } = this;
    this.reader = null;
    if (error === null) reader?.resolve(null);
    else reader?.reject(error);
  }

  /** What came since the last call, in one piece; null: all was read. Called by one reader at a time. Rejects with what {@link finish} was told, and then always. */
  read(): Promise<Buffer | null> {
    if (this.chunks.length > 0) return Promise.resolve(this.take());
    if (this.end === null) return Promise.resolve(null);
    if (this.end !== undefined) return Promise.reject(this.end);
    return new Promise((resolve, reject) => {
      this.reader = { resolve, reject };
    });
  }

  private take(): Buffer {
    const { chunks } = this;
    this.chunks = [];
    this.numBytes = 0;
    if (this.isPaused) {
      this.isPaused = false;
      this.flow.resume();
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }
}
