/** Files of a test: in memory, as fast as it lets them, on a disk that may be full. */
import type { StoredBlock } from '../../../lib/rank/store/block_file.js';
import type { BlockFiles, FoundFile } from '../../../lib/rank/store/block_files.js';

export class PlayedFiles implements BlockFiles {
  /** Least recently used first. */
  readonly there = new Map<string, StoredBlock>();
  /** Why it takes nothing. */
  failure: Error | null = null;
  isClosed = false;
  private gate: Promise<void> = Promise.resolve();
  private open: () => void = () => undefined;
  private wake: () => void = () => undefined;

  /** What is written, read or removed waits from now on. */
  hold(): void {
    this.gate = new Promise((resolve) => (this.open = resolve));
  }

  /** It goes on. */
  release(): void {
    this.open();
  }

  /** Until there are so many. */
  async holds(numBlocks: number): Promise<void> {
    while (this.there.size !== numBlocks) await new Promise<void>((resolve) => (this.wake = resolve));
  }

  async scan(): Promise<readonly FoundFile[]> {
    await this.gate;
    if (this.failure !== null) throw this.failure;
    return [...this.there].map(([key, { bytes }]) => ({ key, numBytes: bytes.byteLength }));
  }

  async write(key: string, block: StoredBlock): Promise<void> {
    await this.gate;
    if (this.failure !== null) throw this.failure;
    this.there.delete(key);
    this.there.set(key, { ...block, bytes: block.bytes.slice() });
    this.wake();
  }

  async read(key: string): Promise<StoredBlock | null> {
    await this.gate;
    const block = this.there.get(key) ?? null;
    this.there.delete(key);
    if (block !== null) this.there.set(key, block);
    return block;
  }

  async remove(key: string): Promise<void> {
    await this.gate;
    this.there.delete(key);
    this.wake();
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
