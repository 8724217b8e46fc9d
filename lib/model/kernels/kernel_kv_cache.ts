/** Keys and values of past tokens in a kernel memory: one block of memory per block of `blockSize` tokens, for all layers that have them. */
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { blockAt, tokenRuns, tokensIn, type TokenRun } from '../decoder/block_table.js';
import { bytesOfRows, nothingIn, rowsOfBytes } from '../decoder/block_bytes.js';
import type { BlockTable, KvCache, SequencePart } from '../decoder/decoder.js';
import { rowFloatsPerToken, stateFloatsOf } from '../spec/cache_layout.js';
import { numAttentionLayersOf, type ModelSpec } from '../spec/spec.js';
import {
  blockFloats,
  fillBlock,
  fillTokens,
  rowFloats,
  rowsOfBlock,
  rowsOfTokens,
  type BlockShape,
} from './block_layout.js';
import { KernelStates, type PartStates } from './kernel_states.js';

/** A block takes memory at its first write and gives it back when it is freed. */
export class KernelKvCache implements KvCache {
  /** What one layer takes of a block. */
  readonly layerBytes: number;
  private readonly shape: BlockShape;
  private readonly numFloats: number;
  /** Null: every layer has keys and values. */
  readonly states: KernelStates | null;
  /** Block id → address. */
  private readonly blocks = new Map<number, number>();

  constructor(
    private readonly memory: KernelMemory,
    { attention, layers, hiddenSize }: Pick<ModelSpec, 'attention' | 'layers' | 'hiddenSize'>,
    /** Tokens per block. */
    readonly blockSize: number,
  ) {
    this.shape = { attention, blockSize, numLayers: numAttentionLayersOf({ layers }) };
    const numStateFloats = stateFloatsOf(layers, hiddenSize);
    this.states = numStateFloats === 0 ? null : new KernelStates(memory, numStateFloats, blockSize);
    this.layerBytes = 4 * blockFloats({ ...this.shape, numLayers: 1 });
    this.numFloats = blockFloats(this.shape);
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

  /** Bytes of a block outside the cache: its rows, and what it has besides where it keeps a state. */
  get blockBytes(): { readonly rows: number; readonly state: number } {
    return { rows: 4 * rowFloats(this.shape), state: 4 * (this.states?.numFloats ?? 0) };
  }

  /** A copy, as rows without padding, and behind them the state that the block keeps. */
  read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!this.blocks.has(block)) return Promise.reject(nothingIn(block));
    const rows = rowsOfBlock(this.floatsOf(block), this.shape);
    const state = this.states?.read(block) ?? null;
    const all = state === null ? rows : joined(rows, state);
    this.memory.countCopy(all.byteLength);
    return Promise.resolve(bytesOfRows(all));
  }

  /** Makes the block where there is none. */
  write(block: number, bytes: Uint8Array): void {
    const { rows, state } = this.blockBytes;
    const hasState = bytes.byteLength !== rows;
    const values = rowsOfBytes(bytes, (hasState ? rows + state : rows) / 4, block);
    const address = this.addressOf(block); // before the view: it may grow the memory
    if (hasState) this.states?.write(block, values.subarray(rows / 4));
    else this.states?.forget([block]);
    fillBlock(this.memory.floats(address, this.numFloats), this.shape, values);
    this.memory.countCopy(values.byteLength);
  }

  /** A copy of rows of a layer of this memory. */
  readRows(table: BlockTable, layer: number, from: number, to: number): Promise<Float32Array> {
    return new Promise((resolve) => resolve(this.copyRows(layer, this.runs(table, from, to), to - from)));
  }

  /** Makes blocks where there are none. */
  writeRows(table: BlockTable, layer: number, from: number, rows: Float32Array): void {
    const runs = this.runs(table, from, from + tokensIn(rows, this.tokenFloats));
    this.hold(runs.map(({ block }) => block)); // before the views: it may grow the memory
    for (const { block, start, count, before } of runs) {
      const own = rows.subarray(before * this.tokenFloats, (before + count) * this.tokenFloats);
      fillTokens(this.floatsOf(block), this.shape, { layer, start, count }, own);
    }
    this.memory.countCopy(rows.byteLength);
  }

  /** Layers with keys and values in this memory. */
  get numLayers(): number {
    return this.shape.numLayers;
  }

  /** Floats of a token in one layer, outside the cache. */
  get tokenFloats(): number {
    return rowFloatsPerToken(this.shape.attention);
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

  private copyRows(layer: number, runs: readonly TokenRun[], numTokens: number): Float32Array {
    const rows = new Float32Array(numTokens * this.tokenFloats);
    for (const { block, start, count, before } of runs) {
      const own = rows.subarray(before * this.tokenFloats, (before + count) * this.tokenFloats);
      rowsOfTokens(this.floatsOf(block), this.shape, { layer, start, count }, own);
    }
    this.memory.countCopy(rows.byteLength);
    return rows;
  }

  /** @throws InternalError where it holds nothing */
  private floatsOf(block: number): Float32Array {
    const address = this.blocks.get(block);
    if (address === undefined) throw nothingIn(block);
    return this.memory.floats(address, this.numFloats);
  }

  private addressOf(id: number): number {
    const held = this.blocks.get(id);
    if (held !== undefined) return held;
    const address = this.memory.allocate(4 * this.numFloats);
    this.blocks.set(id, address);
    return address;
  }
}

function joined(rows: Float32Array, state: Float32Array): Float32Array<ArrayBuffer> {
  const all = new Float32Array(rows.length + state.length);
  all.set(rows);
  all.set(state, rows.length);
  return all;
}
