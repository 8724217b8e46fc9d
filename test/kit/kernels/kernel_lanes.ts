/** Lanes of the attention kernel, with keys and values in blocks all over a memory. */
import { LANE } from '../../../compute/wasm/memory/layouts.js';
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import { permutation } from '../../../experts/routing/random.js';
import { randomFrom, randomValues } from '../../refs/random.js';
import type { KernelValues } from './kernel_values.js';

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);

/** What attention is asked for; rows are [token][head], keys and values one per position. */
export interface LaneCase {
  readonly position: number;
  readonly numTokens: number;
  readonly numHeads: number;
  readonly dim: number;
  readonly valueDim: number;
  readonly window: number;
  readonly softmaxScale: number;
  readonly sinks: Float32Array | null;
  readonly queries: Float32Array;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Random values for a shape. */
export function randomLane(
  seed: number,
  shape: Pick<LaneCase, 'position' | 'numTokens' | 'numHeads' | 'dim' | 'valueDim' | 'window'>,
  hasSinks: boolean,
  scale = 1,
): LaneCase {
  const random = randomFrom(seed);
  const { position, numTokens, numHeads, dim, valueDim } = shape;
  const numKeys = position + numTokens;
  return {
    ...shape,
    softmaxScale: dim ** -0.5,
    sinks: hasSinks ? randomValues(random, numHeads, 2) : null,
    queries: randomValues(random, numTokens * numHeads * dim, 2 * scale),
    keys: randomValues(random, numKeys * dim, 2),
    values: randomValues(random, numKeys * valueDim),
  };
}

/** Some tokens of a lane, as a step of their own: keys behind them are there already. */
export const tokensOf = (lane: LaneCase, from: number, count: number): LaneCase => ({
  ...lane,
  position: lane.position + from,
  numTokens: count,
  queries: lane.queries.slice(from * lane.numHeads * lane.dim, (from + count) * lane.numHeads * lane.dim),
});

/** Where blocks are: their size, a seed for their order, and whether values lie behind all keys of a block or beside each key. */
export interface Blocks {
  readonly blockSize: number;
  readonly seed: number;
  readonly isInterleaved: boolean;
}

/** [token][head][valueDim]. */
export function runLane(place: KernelValues, lane: LaneCase, { blockSize, seed, isInterleaved }: Blocks): Float32Array {
  const { memory } = place;
  const { position, numTokens, numHeads, dim, valueDim, window, softmaxScale } = lane;
  const [width, valueWidth] = [roundUp4(dim), roundUp4(valueDim)];
  const numBlocks = Math.ceil(lane.keys.length / dim / blockSize);
  const [keyStride, valueStride] = isInterleaved ? [width + valueWidth, width + valueWidth] : [width, valueWidth];
  const layerOffset = 8;
  const valueOffset = layerOffset + (isInterleaved ? width : blockSize * width);
  const blockFloats = layerOffset + blockSize * (width + valueWidth);
  const start = place.rows(new Float32Array(numBlocks), 1, blockFloats);
  const blocks = permutation(numBlocks, randomFrom(seed)).map((block) => start + 4 * block * blockFloats);
  const write = (rows: Float32Array, rowWidth: number, offset: number, stride: number): void => {
    for (let key = 0; key < rows.length / rowWidth; key++) {
      const address = blocks[Math.floor(key / blockSize)]! + 4 * (offset + (key % blockSize) * stride);
      memory.floats(address, rowWidth).set(rows.subarray(key * rowWidth, (key + 1) * rowWidth));
    }
  };
  write(lane.keys, dim, layerOffset, keyStride);
  write(lane.values, valueDim, valueOffset, valueStride);
  const outBytes = 4 * (valueDim + 1);
  const fields = {
    ...{ position, numTokens, numHeads, window, softmaxScale, width, valueWidth, valueDim, blockSize },
    queries: place.rows(lane.queries, dim, width),
    queryTokenBytes: 4 * numHeads * width,
    queryHeadBytes: 4 * width,
    sinks: lane.sinks === null ? 0 : place.floats(lane.sinks),
    blocks: place.words(blocks),
    ...{
      keyOffset: 4 * layerOffset,
      keyBytes: 4 * keyStride,
      valueOffset: 4 * valueOffset,
      valueBytes: 4 * valueStride,
    },
    ...{
      out: place.floats(numTokens * numHeads * (valueDim + 1)),
      outTokenBytes: numHeads * outBytes,
      outHeadBytes: outBytes,
    },
    scratch: 0,
  };
  const descriptor = new Descriptor(memory, LANE, fields);
  descriptor.set({ scratch: place.floats(memory.kernels.attendBytes(descriptor.address) / 4) });
  memory.kernels.attend(descriptor.address);
  descriptor.dispose();
  const gaps = place.readRows(fields.out + 4 * valueDim, numTokens * numHeads, 1, valueDim + 1);
  if (!gaps.every(Number.isNaN)) throw new Error('attention wrote behind a row');
  return place.readRows(fields.out, numTokens * numHeads, valueDim, valueDim + 1);
}
