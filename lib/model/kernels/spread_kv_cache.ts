/** Keys and values of past tokens, each layer's in the memory where its weights lie: a block has a piece in every memory. */
import { checkLength } from '../decoder/block_bytes.js';
import type { KvCache, StateCache } from '../decoder/decoder.js';
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

  /** A copy, without the padding between rows. */
  async read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    const parts = await Promise.all(this.pieces.map((piece) => piece.read(block)));
    const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  /** Makes the block where there is none. */
  write(block: number, bytes: Uint8Array): void {
    const hasStates = bytes.byteLength !== this.rowBytes;
    checkLength(bytes, hasStates ? this.allBytes : this.rowBytes, block);
    try {
      let at = 0;
      for (const piece of this.pieces) {
        const { rows, state } = piece.blockBytes;
        const end = at + rows + (hasStates ? state : 0);
        piece.write(block, bytes.subarray(at, end));
        at = end;
      }
    } catch (error) {
      // A memory was full: the block is new, and begun in others.
      this.free([block]);
      throw error;
    }
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
}
