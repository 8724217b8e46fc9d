/** Keys and values of past tokens, each layer's in the memory where its weights lie: a block has a piece in every memory. */
import { InternalError } from '../../../base/coded_error.js';
import { checkLength } from '../decoder/block_bytes.js';
import { tokenRuns, tokensIn } from '../decoder/block_table.js';
import type { BlockTable, KvCache, StateCache } from '../decoder/decoder.js';
import type { KernelKvCache } from './kernel_kv_cache.js';

/** One cache of pieces that hold one layer after the other. Each piece is used, by its memory's kernels, for what is read and written here. */
export class SpreadKvCache implements KvCache, StateCache {
  readonly blockSize: number;
  readonly states: StateCache | null;
  /** Of a block: rows alone, and with states. */
  private readonly rowBytes: number;
  private readonly allBytes: number;

  /** `pieces`: at least one, in the order of their layers; all with the same block size. They stay their owner's. */
  constructor(private readonly pieces: readonly KernelKvCache[]) {
    this.blockSize = pieces[0]!.blockSize;
    this.states = pieces.some(({ states }) => states !== null) ? this : null;
    this.rowBytes = pieces.reduce((sum, { blockBytes }) => sum + blockBytes.rows, 0);
    this.allBytes = pieces.reduce((sum, { blockBytes }) => sum + blockBytes.state, this.rowBytes);
  }

  /** Blocks that have memory; a block is in all pieces or in none. */
  get numBlocks(): number {
    return this.pieces[0]!.numBlocks;
  }

  /** A copy, without the padding between rows: all layers' rows, and behind them all their states. */
  async read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    const parts = await Promise.all(this.pieces.map((piece) => piece.read(block)));
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    for (const [i, { rows, state }] of this.places().entries()) {
      const part = parts[i]!;
      bytes.set(part.subarray(0, rows.length), rows.start);
      if (part.length > rows.length) bytes.set(part.subarray(rows.length), state.start);
    }
    return bytes;
  }

  /** Makes the block where there is none. */
  write(block: number, bytes: Uint8Array): void {
    const hasStates = bytes.byteLength !== this.rowBytes;
    checkLength(bytes, hasStates ? this.allBytes : this.rowBytes, block);
    const partOf = ({ start, length }: Place): Uint8Array => bytes.subarray(start, start + length);
    try {
      for (const [i, { rows, state }] of this.places().entries()) {
        const part = new Uint8Array(rows.length + (hasStates ? state.length : 0));
        part.set(partOf(rows));
        if (hasStates) part.set(partOf(state), rows.length);
        this.pieces[i]!.write(block, part);
      }
    } catch (error) {
      // A memory was full: the block is new, and begun in others.
      this.free([block]);
      throw error;
    }
  }

  /** Of the memory where the layer is. */
  readRows(table: BlockTable, layer: number, from: number, to: number): Promise<Uint8Array<ArrayBuffer>> {
    const { piece, own } = this.placeOf(layer);
    return piece.readRows(table, own, from, to);
  }

  /** Makes blocks in all memories where there are none. */
  writeRows(table: BlockTable, layer: number, from: number, rows: Uint8Array): void {
    const { piece, own } = this.placeOf(layer);
    const runs = tokenRuns(table, this.blockSize, from, from + tokensIn(rows, piece.tokenBytes));
    this.hold(runs.map(({ block }) => block));
    piece.writeRows(table, own, from, rows);
  }

  /** Forgets blocks that the head took back. */
  free(ids: readonly number[]): void {
    for (const piece of this.pieces) piece.free(ids);
  }

  /** Forgets the states that blocks keep. */
  forget(blocks: readonly number[]): void {
    for (const { states } of this.pieces) states?.forget(blocks);
  }

  /** Forgets the states of sequences. */
  end(sequences: readonly number[]): void {
    for (const { states } of this.pieces) states?.end(sequences);
  }

  /** A block is in all pieces or in none. */
  private hold(ids: readonly number[]): void {
    const made: number[] = [];
    try {
      for (const piece of this.pieces) made.push(...piece.hold(ids));
    } catch (error) {
      this.free(made);
      throw error;
    }
  }

  /** Where a layer is, and which one it is there. */
  private placeOf(layer: number): { readonly piece: KernelKvCache; readonly own: number } {
    let own = layer;
    for (const piece of this.pieces) {
      if (own < piece.numLayers) return { piece, own };
      own -= piece.numLayers;
    }
    throw new InternalError(`layer ${layer} has no keys and values here`);
  }

  /** Where each piece's bytes are among those of a block. */
  private places(): { readonly rows: Place; readonly state: Place }[] {
    let [rowAt, stateAt] = [0, this.rowBytes];
    return this.pieces.map(({ blockBytes }) => {
      const rows = { start: rowAt, length: blockBytes.rows };
      const state = { start: stateAt, length: blockBytes.state };
      rowAt += rows.length;
      stateAt += state.length;
      return { rows, state };
    });
  }
}

interface Place {
  readonly start: number;
  readonly length: number;
}
