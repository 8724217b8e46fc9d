/** Keys and values of past tokens, each layer's in the memory where its weights lie: a block has a piece in every memory. */
import { checkLength } from '../decoder/block_bytes.js';
import type { KvCache } from '../decoder/decoder.js';

/** Some layers' part of a cache, and the bytes of one of its blocks outside it. */
export interface CachePiece {
  readonly cache: KvCache;
  readonly blockBytes: number;
}

/** One cache of pieces that hold one layer after the other. Each piece is used, by its memory's kernels, for what is read and written here. */
export class SpreadKvCache implements KvCache {
  readonly blockSize: number;
  private readonly blockBytes: number;

  /** `pieces`: at least one, in the order of their layers; all with the same block size. They stay their owner's. */
  constructor(private readonly pieces: readonly CachePiece[]) {
    this.blockSize = pieces[0]!.cache.blockSize;
    this.blockBytes = pieces.reduce((sum, { blockBytes }) => sum + blockBytes, 0);
  }

  /** Blocks that have memory; a block is in all pieces or in none. */
  get numBlocks(): number {
    return this.pieces[0]!.cache.numBlocks;
  }

  /** A copy, without the padding between rows. */
  async read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(this.blockBytes);
    let at = 0;
    for (const piece of await Promise.all(this.pieces.map(({ cache }) => cache.read(block)))) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** Makes the block where there is none. */
  write(block: number, bytes: Uint8Array): void {
    checkLength(bytes, this.blockBytes, block);
    try {
      let at = 0;
      for (const { cache, blockBytes } of this.pieces) {
        cache.write(block, bytes.subarray(at, at + blockBytes));
        at += blockBytes;
      }
    } catch (error) {
      // A memory was full: the block is new, and begun in others.
      this.free([block]);
      throw error;
    }
  }

  /** Forgets blocks that the head took back. */
  free(ids: readonly number[]): void {
    for (const { cache } of this.pieces) cache.free(ids);
  }
}
