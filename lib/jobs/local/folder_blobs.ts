/** Files of jobs in a folder. */
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { closedError, JobError } from '../base/errors.js';
import type { Blobs } from '../base/job_bus.js';

const TOKEN = /^(?!\.{1,2}$)[^/\\\0]{1,255}$/;

/** {@link Blobs}, each a file of its name. */
export class FolderBlobs implements Blobs {
  private isClosed = false;

  constructor(private readonly folder: string) {}

  /** As {@link Blobs.put}. */
  async put(name: string, content: AsyncIterable<Uint8Array>): Promise<number> {
    if (this.isClosed) throw closedError();
    const path = this.pathOf(name);
    await mkdir(dirname(path), { recursive: true });
    const beside = join(this.folder, `.${randomUUID()}`);
    try {
      const numBytes = await written(beside, content);
      await rename(beside, path);
      return numBytes;
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
  }

  /** As {@link Blobs.get}. */
  async *get(name: string): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of createReadStream(this.pathOf(name))) yield chunk as Uint8Array;
    } catch (cause) {
      const text = `the file ${name} of jobs isn't there any more; run the job again`;
      throw new JobError('BROKEN_RECORD', text, { cause });
    }
  }

  /** As {@link Blobs.remove}: whole parts of names, `RUN`, `RUN/` or `RUN/NODE`. */
  async remove(prefix: string): Promise<void> {
    await rm(this.pathOf(prefix.replace(/\/$/, '')), { recursive: true, force: true });
  }

  /** Nothing is put any more. */
  close(): void {
    this.isClosed = true;
  }

  private pathOf(name: string): string {
    const parts = name.split('/');
    if (parts.every((part) => TOKEN.test(part))) return join(this.folder, ...parts);
    throw new JobError('BROKEN_RECORD', `${JSON.stringify(name)} is no name of a file of jobs; use names without ..`);
  }
}

async function written(path: string, content: AsyncIterable<Uint8Array>): Promise<number> {
  const file = await open(path, 'wx', 0o600);
  let numBytes = 0;
  try {
    for await (const chunk of content) {
      await file.writeFile(chunk);
      numBytes += chunk.length;
    }
    await file.datasync();
  } finally {
    await file.close();
  }
  return numBytes;
}
