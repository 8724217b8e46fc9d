/** Lines on their way into a file: in order, many at once where many wait, and none in half. */
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What of an open file is needed. */
export type OpenFile = Pick<FileHandle, 'write' | 'truncate' | 'datasync' | 'close'>;

/** Opens an empty file that takes the place of another one when {@link FileInstead.replace} is called. */
export interface FileInstead {
  readonly file: OpenFile;
  readonly replace: () => Promise<void>;
}

/** How long what was written may be in memory alone: a machine that goes down loses no more. Why: docs/decisions/elastic.md#a-journal-is-written-before-its-reader-hears */
const SYNC_EVERY_MS = 1000;

interface Waiting {
  readonly text: string;
  readonly resolve: (isWritten: boolean) => void;
}

/** The end of a file that grows. */
export class JournalDisk {
  private readonly waiting: Waiting[] = [];
  private numBytes = 0;
  private writing: Promise<void> | null = null;
  private syncing: NodeJS.Timeout | null = null;
  private rewriting: (() => string) | null = null;
  private isFailing = false;

  private constructor(
    private readonly openInstead: () => Promise<FileInstead>,
    private file: OpenFile,
    private readonly onHealth: (failure: unknown) => void,
  ) {}

  /**
   * A new file with `text`, which takes the place of the one that is there once it is on the disk. `onHealth`: told when lines can't be written, with why, and when they can again, with null.
   * @throws what the file system throws
   */
  static async begin(
    openInstead: () => Promise<FileInstead>,
    text: string,
    onHealth: (failure: unknown) => void,
  ): Promise<JournalDisk> {
    const instead = await openInstead();
    const disk = new JournalDisk(openInstead, instead.file, onHealth);
    try {
      await disk.write(text);
      await instead.file.datasync();
      await instead.replace();
      return disk;
    } catch (error) {
      await instead.file.close();
      throw error;
    }
  }

  /** Of what was written. */
  get size(): number {
    return this.numBytes;
  }

  /** Whether the line is in the file: it outlives this process then. Never rejects. */
  append(text: string): Promise<boolean> {
    return new Promise((resolve) => {
      this.waiting.push({ text, resolve });
      this.writing ??= this.work();
    });
  }

  /** Has the file begin anew with `textOf()`, which is asked when all lines so far are written, and those who wrote them have heard it. */
  rewrite(textOf: () => string): void {
    this.rewriting = textOf;
    this.writing ??= this.work();
  }

  /** Writes what waits. Idempotent. */
  async close(): Promise<void> {
    await this.writing;
    if (this.syncing !== null) clearTimeout(this.syncing);
    await this.file.datasync().catch(() => undefined);
    await this.file.close().catch(() => undefined); // closed before
  }

  private async work(): Promise<void> {
    await Promise.resolve(); // whoever writes in this turn of the event loop shares a write
    while (this.waiting.length > 0 || this.rewriting !== null) {
      const lines = this.waiting.splice(0);
      if (lines.length > 0) {
        const isWritten = await this.tryTo(() => this.write(lines.map(({ text }) => text).join('')));
        for (const { resolve } of lines) resolve(isWritten);
      }
      const textOf = this.rewriting;
      if (textOf === null) continue;
      this.rewriting = null;
      await new Promise(setImmediate);
      const text = textOf();
      await this.tryTo(() => this.beginAnew(text));
    }
    this.writing = null;
  }

  private async tryTo(work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      this.tell(null);
      return true;
    } catch (error) {
      this.tell(error);
      return false;
    }
  }

  /** What is told once lasts until it changes. */
  private tell(failure: unknown): void {
    const isFailing = failure !== null;
    if (isFailing !== this.isFailing) this.onHealth(failure);
    this.isFailing = isFailing;
  }

  /** Half a line is taken back. */
  private async write(text: string): Promise<void> {
    try {
      this.numBytes += await writeAll(this.file, Buffer.from(text), this.numBytes);
    } catch (error) {
      await this.file.truncate(this.numBytes).catch(() => undefined); // then the next line is written over it
      throw error;
    }
    this.syncing ??= setTimeout(() => void this.sync(), SYNC_EVERY_MS).unref();
  }

  private async sync(): Promise<void> {
    this.syncing = null;
    await this.file.datasync().catch((error: unknown) => this.tell(error));
  }

  private async beginAnew(text: string): Promise<void> {
    const { file: next, replace } = await this.openInstead();
    try {
      const numBytes = await writeAll(next, Buffer.from(text), 0);
      await next.datasync();
      await replace();
      const { file: last } = this;
      this.file = next;
      this.numBytes = numBytes;
      await last.close();
    } catch (error) {
      if (this.file !== next) await next.close();
      throw error;
    }
  }
}

/** Returns how many there are. */
async function writeAll(file: OpenFile, bytes: Uint8Array, from: number): Promise<number> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, from + done);
    done += bytesWritten;
  }
  return bytes.length;
}

/** Beside `path`, readable for its owner alone: prompts are in it. */
export async function openBeside(path: string): Promise<FileInstead> {
  const beside = `${path}.next`;
  await rm(beside, { force: true });
  const file = await open(beside, 'wx', 0o600);
  return {
    file,
    replace: async () => {
      await rename(beside, path);
      await syncFolder(dirname(path));
    },
  };
}

/** A name that changed is on the disk when its folder is; where folders can't be opened, nothing is to be done. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => null);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}
