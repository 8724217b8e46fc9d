/**
 * Keys and values of past tokens, in blocks of `blockSize` tokens. A block is one tensor per layer and lane; full ones are merged into segments, which are what attention
 * reads, so that no step copies the whole past.
 * A lane is what attention reads as one matrix [L tokens, width]: the latent of MLA, or the keys or values of one head or of all.
 */
import { clone, keep, rowsFrom, rowsOf, stackRows, tidy, toTensor, type Tensor2D } from '../../../compute/tfjs/tf.js';
import { bytesOfFloats, checkLength, floatsOfBytes, nothingIn } from '../decoder/block_bytes.js';
import { blockAt, tokenRuns, tokensIn } from '../decoder/block_table.js';
import type { BlockTable, KvCache } from '../decoder/decoder.js';
import { laneRows, lanesOfTokens, laneWidth, portableRows, tokenFloats, tokenRows, type KvLanes } from './kv_lanes.js';
import { KvSegment, looseRows, type KvRows } from './kv_segment.js';

/** What the cache must know of a model: its layers, and the lanes of one. */
export interface TensorKvCacheShape {
  readonly numLayers: number;
  readonly lanes: KvLanes;
  /** Tokens per block. */
  readonly blockSize: number;
}

/** Positions whose rows become one tensor once all of them are there, so that a step copies no more than these of the past. Rounded up to whole blocks. */
const SEGMENT_TOKENS = 256;

/** A block's rows of one lane: a tensor of its own, or a part of a segment. */
type Held = Tensor2D | { readonly segment: KvSegment; readonly start: number };

/** The blocks whose rows of one lane a segment took. */
interface Members {
  readonly ids: readonly number[];
  readonly layer: number;
  readonly lane: number;
}

/** Holds tensors of the active backend. All layers of a block come and go together. */
export class TensorKvCache implements KvCache {
  readonly states = null;
  private readonly blocksPerSegment: number;
  /** Block id → what it holds, layer-major. */
  private readonly blocks = new Map<number, (Held | undefined)[]>();
  /** Some may have left it since. */
  private readonly members = new WeakMap<KvSegment, Members>();

  constructor(private readonly shape: TensorKvCacheShape) {
    this.blocksPerSegment = Math.ceil(SEGMENT_TOKENS / shape.blockSize);
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
      const block = tidy(() => {
        const added = rowsFrom(rows, written, numNew);
        const block = offset === 0 ? added : stackRows([firstRows(this.held(id, layer, lane)!, offset), added]);
        return keep(block === rows ? clone(rows) : block);
      });
      this.replace(id, layer, lane, block);
      written += numNew;
    }
  }

  /** The first `length` tokens of one lane, in segments of ascending position; inside a tidy. */
  segments(table: BlockTable, layer: number, lane: number, length: number): KvRows[] {
    const { blockSize } = this.shape;
    const segments: KvRows[] = [];
    for (let first = 0; first * blockSize < length; first += this.blocksPerSegment) {
      const numRows = Math.min(this.blocksPerSegment * blockSize, length - first * blockSize);
      const isComplete = numRows === this.blocksPerSegment * blockSize;
      const ids = Array.from({ length: Math.ceil(numRows / blockSize) }, (_, i) => blockAt(table, first + i));
      segments.push(isComplete ? this.segment(ids, layer, lane) : looseRows(this.stacked(ids, layer, lane, numRows)));
    }
    return segments;
  }

  /** Stacks all layers in one tensor, and reads that. */
  async read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    const held = this.blocks.get(block);
    if (held === undefined) throw nothingIn(block);
    const layers = Array.from({ length: this.shape.numLayers }, (_, layer) => layer);
    const rows = tidy(() => stackRows(layers.map((layer) => this.layerRows(held, layer))));
    try {
      return bytesOfFloats((await rowsOf(rows)).slice()); // cpu may give the memory that it holds
    } finally {
      rows.dispose();
    }
  }

  /** One upload; then the rows of every layer and lane. */
  write(block: number, bytes: Uint8Array): void {
    const { numLayers, lanes, blockSize } = this.shape;
    const numRows = lanes.hasOnes.length * lanes.numHeads * blockSize; // of a layer
    const size = numRows * lanes.width;
    checkLength(bytes, 4 * numLayers * size, block);
    const values = floatsOfBytes(bytes);
    for (let layer = 0; layer < numLayers; layer++) {
      tidy(() => {
        // One layer at a time: wasm copies all of a tensor to take a part of it.
        const rows = toTensor(values.subarray(layer * size, (layer + 1) * size), [numRows, lanes.width]);
        for (const [lane, own] of laneRows(rows, lanes).entries()) this.replace(block, layer, lane, keep(own));
      });
    }
  }

  /** Downloads one tensor. */
  async readRows(table: BlockTable, layer: number, from: number, to: number): Promise<Uint8Array<ArrayBuffer>> {
    const { lanes, blockSize } = this.shape;
    const rows = tidy(() => {
      const runs = tokenRuns(table, blockSize, from, to).map(({ block, start, count }) => {
        if (!this.blocks.has(block)) throw nothingIn(block);
        const own = lanes.hasOnes.map((_, lane) => rowsFrom(this.blockRows(block, layer, lane), start, count));
        return tokenRows(own, lanes);
      });
      return stackRows(runs);
    });
    try {
      return bytesOfFloats((await rowsOf(rows)).slice()); // cpu may give the memory that it holds
    } finally {
      rows.dispose();
    }
  }

  /** One upload. */
  writeRows(table: BlockTable, layer: number, from: number, rows: Uint8Array): void {
    const { lanes, blockSize } = this.shape;
    const numTokens = tokensIn(rows, 4 * tokenFloats(lanes));
    const runs = tokenRuns(table, blockSize, from, from + numTokens);
    tidy(() => {
      const all = lanesOfTokens(toTensor(floatsOfBytes(rows), [numTokens, tokenFloats(lanes)]), lanes);
      for (const [lane, own] of all.entries()) {
        for (const { block, start, count, before } of runs) {
          const added = rowsFrom(own, before, count);
          this.replace(block, layer, lane, keep(clone(this.withRows(block, layer, lane, start, added))));
        }
      }
    });
  }

  /** Forgets blocks that the head took back. Blocks that are left of a segment keep at most twice their own size: the cache of prefixes may hold one of it for ever. */
  free(ids: readonly number[]): void {
    const reduced = new Set<KvSegment>();
    for (const id of ids) {
      for (const held of this.blocks.get(id) ?? []) {
        if (held !== undefined && isPart(held)) reduced.add(held.segment);
        release(held);
      }
      this.blocks.delete(id);
    }
    for (const segment of reduced) this.reduce(segment);
  }

  get blockSize(): number {
    return this.shape.blockSize;
  }

  /** Blocks that hold something. */
  get numBlocks(): number {
    return this.blocks.size;
  }

  /** Frees all blocks. */
  dispose(): void {
    this.free([...this.blocks.keys()]);
  }

  /**
   * Whole blocks that follow each other: what they hold as one segment, made when it is first read. Blocks of a sequence whose others stand in another
   * sequence's segment, because it shares its first ones, are joined each time instead: two sequences would otherwise take them from each other in every step.
   */
  private segment(ids: readonly number[], layer: number, lane: number): KvRows {
    const { blockSize } = this.shape;
    const held = ids.map((id) => this.held(id, layer, lane)!);
    const [first] = held;
    const areOne = held.every((each, i) => i === 0 || follows(held[i - 1]!, each, blockSize));
    if (isPart(first!) && first.start === 0 && areOne) return first.segment;
    if (held.some((each) => isPart(each) && each.segment.numOwners > ownedBy(each.segment, held))) {
      return looseRows(this.stacked(ids, layer, lane, ids.length * blockSize));
    }
    const rows = tidy(() => {
      const stacked = this.stacked(ids, layer, lane, ids.length * blockSize);
      return keep(ids.length === 1 ? clone(stacked) : stacked);
    });
    const segment = new KvSegment(rows, ids.length);
    this.members.set(segment, { ids, layer, lane });
    ids.forEach((id, i) => this.replace(id, layer, lane, { segment, start: i * blockSize }));
    return segment;
  }

  /** Where half of a segment's blocks are gone or more, gives the others rows of their own. */
  private reduce(segment: KvSegment): void {
    const { ids, layer, lane } = this.members.get(segment)!;
    if (2 * segment.numOwners > ids.length) return;
    for (const id of ids) {
      const held = this.held(id, layer, lane);
      if (held === undefined || !isPart(held) || held.segment !== segment) continue;
      const rows = tidy(() => keep(clone(segment.part(held.start, this.shape.blockSize))));
      this.replace(id, layer, lane, rows);
    }
  }

  /** The first `numRows` rows of blocks that follow each other; neighbours in one segment are taken at once. */
  private stacked(ids: readonly number[], layer: number, lane: number, numRows: number): Tensor2D {
    const { blockSize } = this.shape;
    const held = ids.map((id) => this.held(id, layer, lane)!);
    const runs: Tensor2D[] = [];
    let start = 0;
    for (let end = 1; end <= held.length; end++) {
      if (end < held.length && follows(held[end - 1]!, held[end]!, blockSize)) continue;
      runs.push(firstRows(held[start]!, Math.min(end * blockSize, numRows) - start * blockSize));
      start = end;
    }
    return stackRows(runs);
  }

  /** What a block holds in one layer, as portable rows. */
  private layerRows(held: readonly (Held | undefined)[], layer: number): Tensor2D {
    const { lanes } = this.shape;
    const rows = lanes.hasOnes.map((_, lane) =>
      this.wholeRows(held[layer * lanes.hasOnes.length + lane], laneWidth(lanes, lane)),
    );
    return portableRows(rows, lanes);
  }

  /** All rows of a block in one lane, zeros where nothing was written. */
  private blockRows(id: number, layer: number, lane: number): Tensor2D {
    return this.wholeRows(this.held(id, layer, lane), laneWidth(this.shape.lanes, lane));
  }

  /** What a block holds of a lane, with other rows from its token `start` on; no longer than it has to be. */
  private withRows(id: number, layer: number, lane: number, start: number, added: Tensor2D): Tensor2D {
    const held = this.held(id, layer, lane);
    const numHeld = held === undefined ? 0 : isPart(held) ? this.shape.blockSize : held.shape[0];
    const end = start + added.shape[0];
    const rows: Tensor2D[] = [];
    if (start > 0) rows.push(rowsFrom(this.blockRows(id, layer, lane), 0, start));
    rows.push(added);
    if (numHeld > end) rows.push(rowsFrom(this.blockRows(id, layer, lane), end, numHeld - end));
    return stackRows(rows);
  }

  /** All rows of a block, zeros where nothing was written. */
  private wholeRows(held: Held | undefined, width: number): Tensor2D {
    const { blockSize } = this.shape;
    if (held !== undefined && isPart(held)) return held.segment.part(held.start, blockSize);
    const numMissing = blockSize - (held?.shape[0] ?? 0);
    if (held !== undefined && numMissing === 0) return held;
    const zeros = toTensor(new Float32Array(numMissing * width), [numMissing, width]);
    return held === undefined ? zeros : stackRows([held, zeros]);
  }

  private held(id: number, layer: number, lane: number): Held | undefined {
    return this.blocks.get(id)?.[layer * this.shape.lanes.hasOnes.length + lane];
  }

  private replace(id: number, layer: number, lane: number, next: Held): void {
    const { numLayers, lanes } = this.shape;
    const numLanes = lanes.hasOnes.length;
    const all = this.blocks.get(id) ?? new Array<Held | undefined>(numLayers * numLanes);
    this.blocks.set(id, all);
    const index = layer * numLanes + lane;
    release(all[index]);
    all[index] = next;
  }
}

const ownedBy = (segment: KvSegment, held: readonly Held[]): number =>
  held.filter((each) => isPart(each) && each.segment === segment).length;

/** Whether blocks stand one behind the other in one segment. */
const follows = (before: Held, held: Held, blockSize: number): boolean =>
  isPart(before) && isPart(held) && held.segment === before.segment && held.start === before.start + blockSize;

/** Rows from the first of a block on, which may reach into the blocks behind it in its segment. */
const firstRows = (held: Held, numRows: number): Tensor2D =>
  isPart(held) ? held.segment.part(held.start, numRows) : rowsFrom(held, 0, numRows);

const isPart = (held: Held): held is Exclude<Held, Tensor2D> => 'segment' in held;

function release(held: Held | undefined): void {
  if (held === undefined) return;
  if (isPart(held)) held.segment.release();
  else held.dispose();
}
