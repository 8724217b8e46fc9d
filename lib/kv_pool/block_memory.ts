import { InternalError } from '../../base/coded_error.js';
import type { KvCache } from '../model/decoder/decoder.js';

/** The bytes of a pool's blocks, as a rank's cache has them: a block exists from the first write to it until it is freed. */
export class BlockMemory implements Pick<KvCache, 'read' | 'write' | 'free'> {
  private readonly bytes = new Map<number, Uint8Array<ArrayBuffer>>();

  /** A copy, as it is at the time of the call. @throws InternalError for a block that holds nothing */
  read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.bytes.get(block);
    if (bytes === undefined) return Promise.reject(new InternalError(`block ${block} holds nothing to read`));
    return Promise.resolve(bytes.slice());
  }

  /** The bytes stay the caller's. */
  write(block: number, bytes: Uint8Array): void {
    const own = this.bytes.get(block);
    if (own === undefined) this.bytes.set(block, new Uint8Array(bytes));
    else own.set(bytes);
  }

  /** Whether a block was written since it was freed last. */
  has(block: number): boolean {
    return this.bytes.has(block);
  }

  /** Forgets all of them. */
  clear(): void {
    this.bytes.clear();
  }

  /** Forgets blocks. */
  free(blocks: readonly number[]): void {
    for (const block of blocks) this.bytes.delete(block);
  }
}
