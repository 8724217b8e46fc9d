/** Keys and values of past tokens in a kernel memory: one block of memory per block of `blockSize` tokens, for all layers. */
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { InternalError } from '../../../base/coded_error.js';
import { bytesOfRows, nothingIn, rowsOfBytes } from '../decoder/block_bytes.js';
import type { BlockTable, KvCache } from '../decoder/decoder.js';
import type { ModelSpec } from '../spec/spec.js';
import { blockFloats, fillBlock, rowFloats, rowsOfBlock, type BlockShape } from './block_layout.js';

/** A block takes memory at its first write and gives it back when it is freed. */
export class KernelKvCache implements KvCache {
  /** What one layer takes of a block. */
  readonly layerBytes: number;
  private readonly shape: BlockShape;
  private readonly numFloats: number;
  /** Block id → address. */
  private readonly blocks = new Map<number, number>();

  constructor(
    private readonly memory: KernelMemory,
    { attention, layers }: Pick<ModelSpec, 'attention' | 'layers'> /** Tokens per block. */,
    readonly blockSize: number,
  ) {
    this.shape = { attention, blockSize, numLayers: layers.length };
    this.layerBytes = 4 * blockFloats({ ...this.shape, numLayers: 1 });
    this.numFloats = blockFloats(this.shape);
  }

  /**
   * Addresses of the blocks of a sequence's first `length` tokens, appended to `out`. Blocks that nobody used before are zeros.
   * @throws InternalError for a table that is too short or an id that is not a whole number from 0; ExpertError OUT_OF_MEMORY
   */
  addressesOf(table: BlockTable, length: number, out: number[]): void {
    const numBlocks = Math.ceil(length / this.blockSize);
    for (let index = 0; index < numBlocks; index++) out.push(this.addressOf(idAt(table, index)));
  }

  /** A copy, as rows without padding. */
  read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    const address = this.blocks.get(block);
    if (address === undefined) return Promise.reject(nothingIn(block));
    const rows = rowsOfBlock(this.memory.floats(address, this.numFloats), this.shape);
    this.memory.countCopy(rows.byteLength);
    return Promise.resolve(bytesOfRows(rows));
  }

  /** Makes the block where there is none. */
  write(block: number, bytes: Uint8Array): void {
    const rows = rowsOfBytes(bytes, rowFloats(this.shape), block);
    const address = this.addressOf(block); // before the view: it may grow the memory
    fillBlock(this.memory.floats(address, this.numFloats), this.shape, rows);
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
    const address = this.memory.allocate(4 * this.numFloats);
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
