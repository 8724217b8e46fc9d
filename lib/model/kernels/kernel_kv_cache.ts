/** Keys and values of past tokens in a kernel memory: one block of memory per block of `blockSize` tokens, for all layers that have them. */
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { blockAt, tokenRuns, tokensIn, type TokenRun } from '../decoder/block_table.js';
import { checkLength, floatsOfBytes, nothingIn } from '../decoder/block_bytes.js';
import type { BlockTable, KvCache, SequencePart } from '../decoder/decoder.js';
import { blockBytesOf, rowBytesPerToken, type BlockBytes } from '../spec/cache_layout.js';
import { numAttentionLayersOf, type ModelSpec } from '../spec/spec.js';
import { blockBytes, fillBlock, fillTokens, rowsOfBlock, rowsOfTokens, type BlockShape } from './block_layout.js';
import { KernelStates, type PartStates } from './kernel_states.js';

/** A block takes memory at its first write and gives it back when it is freed. */
export class KernelKvCache implements KvCache {
  /** What one layer takes of a block. */
  readonly layerBytes: number;
  /** Bytes of a block outside the cache. */
  readonly blockBytes: BlockBytes;
  private readonly shape: BlockShape;
  private readonly numBytes: number;
  /** Null: every layer has keys and values. */
  readonly states: KernelStates | null;
  /** Block id → address. */
  private readonly blocks = new Map<number, number>();

  constructor(
    private readonly memory: KernelMemory,
    { attention, layers, hiddenSize }: Pick<ModelSpec, 'attention' | 'layers' | 'hiddenSize'>,
    /** Tokens per block. */
    readonly blockSize: number,
    /** What keys and values are kept as. */
    readonly dtype: KvDtype,
  ) {
    this.shape = { attention, dtype, blockSize, numLayers: numAttentionLayersOf({ layers }) };
    this.blockBytes = blockBytesOf({ attention, layers, hiddenSize }, dtype, blockSize);
    const { state } = this.blockBytes;
    this.states = state === 0 ? null : new KernelStates(memory, state / 4, blockSize);
    this.layerBytes = blockBytes({ ...this.shape, numLayers: 1 });
    this.numBytes = blockBytes(this.shape);
  }

  /**
   * Addresses of the blocks of a sequence's first `length` tokens, appended to `out`. Blocks that nobody used before are zeros.
   * @throws InternalError for a table that is too short or an id that is not a whole number from 0; ExpertError OUT_OF_MEMORY
   */
  addressesOf(table: BlockTable, length: number, out: number[]): void {
    const numBlocks = Math.ceil(length / this.blockSize);
    for (let index = 0; index < numBlocks; index++) out.push(this.addressOf(blockAt(table, index)));
  }

  /** States that a part of the next step goes on from and leaves; null where no layer has any. @throws as {@link KernelStates.of} */
  statesOf(part: SequencePart): PartStates | null {
    return this.states?.of(part) ?? null;
  }

  /** A copy, as rows without padding, and behind them the state that the block keeps. */
  read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!this.blocks.has(block)) return Promise.reject(nothingIn(block));
    const rows = rowsOfBlock(this.bytesOf(block), this.shape);
    const state = this.states?.read(block) ?? null;
    const all = state === null ? rows : joined(rows, state);
    this.memory.countCopy(all.byteLength);
    return Promise.resolve(all);
  }

  /** Makes the block where there is none. */
  write(block: number, bytes: Uint8Array): void {
    const { rows, state } = this.blockBytes;
    const hasState = bytes.byteLength !== rows;
    checkLength(bytes, hasState ? rows + state : rows, block);
    this.addressOf(block); // before the view: it may grow the memory
    if (hasState) this.states?.write(block, floatsOfBytes(bytes.subarray(rows)));
    else this.states?.forget([block]);
    fillBlock(this.bytesOf(block), this.shape, bytes.subarray(0, rows));
    this.memory.countCopy(bytes.byteLength);
  }

  /** A copy of rows of a layer of this memory. */
  readRows(table: BlockTable, layer: number, from: number, to: number): Promise<Uint8Array<ArrayBuffer>> {
    return new Promise((resolve) => resolve(this.copyRows(layer, this.runs(table, from, to), to - from)));
  }

  /** Makes blocks where there are none. */
  writeRows(table: BlockTable, layer: number, from: number, rows: Uint8Array): void {
    const runs = this.runs(table, from, from + tokensIn(rows, this.tokenBytes));
    this.hold(runs.map(({ block }) => block)); // before the views: it may grow the memory
    for (const { block, start, count, before } of runs) {
      const own = rows.subarray(before * this.tokenBytes, (before + count) * this.tokenBytes);
      fillTokens(this.bytesOf(block), this.shape, { layer, start, count }, own);
    }
    this.memory.countCopy(rows.byteLength);
  }

  /** Layers with keys and values in this memory. */
  get numLayers(): number {
    return this.shape.numLayers;
  }

  /** Bytes of a token in one layer, outside the cache. */
  get tokenBytes(): number {
    return rowBytesPerToken(this.shape.attention, this.dtype);
  }

  /** Makes those that there aren't yet, all or none, and tells which. @throws ExpertError OUT_OF_MEMORY */
  hold(ids: readonly number[]): readonly number[] {
    const made: number[] = [];
    try {
      for (const id of ids) {
        if (this.blocks.has(id)) continue;
        this.addressOf(id);
        made.push(id);
      }
      return made;
    } catch (error) {
      this.free(made);
      throw error;
    }
  }

  /** Forgets blocks that the head took back. */
  free(ids: readonly number[]): void {
    this.states?.forget(ids);
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
    this.states?.dispose();
  }

  private runs(table: BlockTable, from: number, to: number): TokenRun[] {
    return tokenRuns(table, this.blockSize, from, to);
  }

  private copyRows(layer: number, runs: readonly TokenRun[], numTokens: number): Uint8Array<ArrayBuffer> {
    const rows = new Uint8Array(numTokens * this.tokenBytes);
    for (const { block, start, count, before } of runs) {
      const own = rows.subarray(before * this.tokenBytes, (before + count) * this.tokenBytes);
      rowsOfTokens(this.bytesOf(block), this.shape, { layer, start, count }, own);
    }
    this.memory.countCopy(rows.byteLength);
    return rows;
  }

  /** @throws InternalError where it holds nothing */
  private bytesOf(block: number): Uint8Array {
    const address = this.blocks.get(block);
    if (address === undefined) throw nothingIn(block);
    return this.memory.bytes(address, this.numBytes);
  }

  private addressOf(id: number): number {
    const held = this.blocks.get(id);
    if (held !== undefined) return held;
    const address = this.memory.allocate(this.numBytes);
    this.blocks.set(id, address);
    return address;
  }
}

function joined(rows: Uint8Array, state: Float32Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(rows.length + state.byteLength);
  all.set(rows);
  all.set(new Uint8Array(state.buffer, state.byteOffset, state.byteLength), rows.length);
  return all;
}
