/** Keys and values of past tokens in a kernel memory: one block of memory per block of `blockSize` tokens, for all layers. */
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { InternalError } from '../../../base/coded_error.js';
import type { BlockTable, KvCache } from '../decoder/decoder.js';
import type { ModelSpec } from '../spec/spec.js';
import { cacheFloatsPerToken } from '../spec/cache_layout.js';

export class KernelKvCache implements KvCache {
  /** Tokens per block. */
  readonly blockSize: number;
  /** What one layer takes of a block. */
  readonly layerBytes: number;
  private readonly memory: KernelMemory;
  private readonly blockBytes: number;
  /** Block id → address. */
  private readonly blocks = new Map<number, number>();

  constructor(memory: KernelMemory, { attention, layers }: Pick<ModelSpec, 'attention' | 'layers'>, blockSize: number) {
    this.memory = memory;
    this.blockSize = blockSize;
    this.layerBytes = 4 * blockSize * cacheFloatsPerToken(attention);
    this.blockBytes = this.layerBytes * layers.length;
  }

  /**
   * Addresses of the blocks of a sequence's first `length` tokens, appended to `out`. Blocks that nobody used before are zeros.
   * @throws InternalError for a table that is too short or an id that is not a whole number from 0; ExpertError OUT_OF_MEMORY
   */
  addressesOf(table: BlockTable, length: number, out: number[]): void {
    const numBlocks = Math.ceil(length / this.blockSize);
    for (let index = 0; index < numBlocks; index++) out.push(this.addressOf(idAt(table, index)));
  }

  /** Forgets blocks that the head took back. */
  free(ids: readonly number[]): void {
    for (const id of ids) {
      const address = this.blocks.get(id);
      if (address === undefined) continue;
      this.memory.free(address);
      this.blocks.delete(id);
    }
  }

  get numBlocks(): number {
    return this.blocks.size;
  }

  dispose(): void {
    this.free([...this.blocks.keys()]);
  }

  private addressOf(id: number): number {
    const held = this.blocks.get(id);
    if (held !== undefined) return held;
    const address = this.memory.allocate(this.blockBytes);
    this.blocks.set(id, address);
    return address;
  }
}

function idAt(table: BlockTable, index: number): number {
  const id = table[index];
  if (id === undefined) {
    throw new InternalError(`block ${index} of a sequence with ${table.length} blocks`);
  }
  if (!Number.isSafeInteger(id) || id < 0) {
    throw new InternalError(`block ${index} of a sequence has the id ${JSON.stringify(id)}`);
  }
  return id;
}
