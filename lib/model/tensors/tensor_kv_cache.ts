/**
 * Keys and values of past tokens, in blocks of `blockSize` tokens. A block is one tensor per layer and lane; a full one never changes again.
 * A lane is what attention reads as one matrix [L tokens, width]: the latent of MLA, or the keys or values of one head.
 */
import { keep, rowsFrom, stackRows, tidy, type Tensor2D } from '../../../experts/tf.js';
import { EngineError } from '../../engine/errors.js';
import type { BlockTable, KvCache } from '../decoder.js';

export interface TensorKvCacheShape {
  readonly numLayers: number;
  readonly numLanes: number;
  /** Tokens per block. */
  readonly blockSize: number;
}

export class TensorKvCache implements KvCache {
  private readonly shape: TensorKvCacheShape;
  /** Block id → tensors, layer-major. */
  private readonly blocks = new Map<number, (Tensor2D | undefined)[]>();

  constructor(shape: TensorKvCacheShape) {
    this.shape = shape;
  }

  /** Writes `rows` [n, width] of one lane at `position`. What a block held from there on is overwritten, so a step can run again. */
  append(table: BlockTable, layer: number, lane: number, position: number, rows: Tensor2D): void {
    const { blockSize } = this.shape;
    const [numRows] = rows.shape;
    let written = 0;
    while (written < numRows) {
      const at = position + written;
      const offset = at % blockSize;
      const numNew = Math.min(blockSize - offset, numRows - written);
      const id = blockAt(table, Math.floor(at / blockSize));
      const held = this.tensor(id, layer, lane);
      const block = tidy(() => {
        const added = rowsFrom(rows, written, numNew);
        const block = offset === 0 ? added : stackRows([rowsFrom(held!, 0, offset), added]);
        return keep(block === rows ? rows.clone() : block);
      });
      this.replace(id, layer, lane, block);
      written += numNew;
    }
  }

  /** The first `length` tokens of one lane, [length, width]; inside a tidy. */
  read(table: BlockTable, layer: number, lane: number, length: number): Tensor2D {
    const { blockSize } = this.shape;
    const parts: Tensor2D[] = [];
    for (let start = 0; start < length; start += blockSize) {
      const block = this.tensor(blockAt(table, start / blockSize), layer, lane)!;
      parts.push(rowsFrom(block, 0, Math.min(blockSize, length - start)));
    }
    return stackRows(parts);
  }

  /** Forgets blocks that the head took back. */
  free(ids: readonly number[]): void {
    for (const id of ids) {
      for (const tensor of this.blocks.get(id) ?? []) tensor?.dispose();
      this.blocks.delete(id);
    }
  }

  get numBlocks(): number {
    return this.blocks.size;
  }

  dispose(): void {
    this.free([...this.blocks.keys()]);
  }

  private tensor(id: number, layer: number, lane: number): Tensor2D | undefined {
    return this.blocks.get(id)?.[layer * this.shape.numLanes + lane];
  }

  private replace(id: number, layer: number, lane: number, tensor: Tensor2D): void {
    const tensors = this.blocks.get(id) ?? new Array<Tensor2D | undefined>(this.shape.numLayers * this.shape.numLanes);
    this.blocks.set(id, tensors);
    const index = layer * this.shape.numLanes + lane;
    tensors[index]?.dispose();
    tensors[index] = tensor;
  }
}

function blockAt(table: BlockTable, index: number): number {
  const id = table[index];
  if (id === undefined) {
    throw new EngineError('INTERNAL', `block ${index} of a sequence with ${table.length} blocks; please report this`);
  }
  return id;
}
