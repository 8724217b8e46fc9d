/** Keys and values of past tokens in a kernel memory: one block of memory per block of `blockSize` tokens, for all layers. */
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { InternalError } from '../../../base/coded_error.js';
import { bytesOfRows, nothingIn, rowsOfBytes } from '../decoder/block_bytes.js';
import type { BlockTable, KvCache } from '../decoder/decoder.js';
import type { ModelSpec } from '../spec/spec.js';
import {
  cacheFloatsPerToken,
  cacheRowsOf,
  copyBetweenPadding,
  lengthWithoutPadding,
  withoutPadding,
  type CacheRows,
} from '../spec/cache_layout.js';

/** A block takes memory at its first write and gives it back when it is freed. */
export class KernelKvCache implements KvCache {
  /** What one layer takes of a block. */
  readonly layerBytes: number;
  private readonly rows: CacheRows;
  private readonly blockBytes: number;
  /** Block id → address. */
  private readonly blocks = new Map<number, number>();

  constructor(
    private readonly memory: KernelMemory,
    { attention, layers }: Pick<ModelSpec, 'attention' | 'layers'> /** Tokens per block. */,
    readonly blockSize: number,
  ) {
    this.rows = cacheRowsOf(attention);
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

  /** A copy, without the padding between rows. */
  read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    const address = this.blocks.get(block);
    if (address === undefined) return Promise.reject(nothingIn(block));
    const rows = withoutPadding(this.memory.floats(address, this.blockBytes / 4), this.rows);
    this.memory.countCopy(rows.byteLength);
    return Promise.resolve(bytesOfRows(rows));
  }

  /** Makes the block where there is none. */
  write(block: number, bytes: Uint8Array): void {
    const numFloats = this.blockBytes / 4;
    const rows = rowsOfBytes(bytes, lengthWithoutPadding(numFloats, this.rows), block);
    const address = this.addressOf(block); // before the view: it may grow the memory
    copyBetweenPadding(rows, this.rows, this.memory.floats(address, numFloats));
    this.memory.countCopy(rows.byteLength);
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

  /** Blocks that have memory. */
  get numBlocks(): number {
    return this.blocks.size;
  }

  /** Frees all blocks. */
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
