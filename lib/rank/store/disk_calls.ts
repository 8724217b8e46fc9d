/** The calls to the file system that blocks on disk take: tests put in one that fails, or ends in the middle. */
import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';

/** Each rejects with what the file system throws. */
export interface DiskCalls {
  makeFolder(path: string): Promise<void>;
  /** Names; none where there is no such folder. */
  namesIn(path: string): Promise<readonly string[]>;
  sizeOf(path: string): Promise<{ readonly numBytes: number; readonly usedMs: number }>;
  /** A new file, or in the place of one. */
  write(path: string, parts: readonly Uint8Array[]): Promise<void>;
  /** All of a file; null where it is longer than `maxBytes`. */
  read(path: string, maxBytes: number): Promise<Uint8Array<ArrayBuffer> | null>;
  rename(from: string, to: string): Promise<void>;
  /** Also where it isn't there. */
  remove(path: string): Promise<void>;
  /** It is used now. */
  touch(path: string): Promise<void>;
}

/** Those of the system. Files are readable for their owner alone: prompts can be told from them. */
export const SYSTEM_CALLS: DiskCalls = {
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  async namesIn(path) {
    return readdir(path).catch((error: unknown) => {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
      throw error;
    });
  },
  async sizeOf(path) {
    const { size, mtimeMs } = await stat(path);
    return { numBytes: size, usedMs: mtimeMs };
  },
  async write(path, parts) {
    const file = await open(path, 'w', 0o600);
    try {
      for (const part of parts) await file.writeFile(part);
    } finally {
      await file.close();
    }
  },
  async read(path, maxBytes) {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > maxBytes) return null;
      const bytes = new Uint8Array(size);
      let numRead = 0;
      for (;;) {
        const { bytesRead } = await file.read(bytes, numRead, size - numRead, numRead);
        numRead += bytesRead;
        if (bytesRead === 0 || numRead === size) return bytes.subarray(0, numRead);
      }
    } finally {
      await file.close();
    }
  },
  rename,
  async remove(path) {
    await rm(path, { force: true });
  },
  async touch(path) {
    const nowSeconds = (performance.timeOrigin + performance.now()) / 1000; // finer than a date
    await utimes(path, nowSeconds, nowSeconds);
  },
};
