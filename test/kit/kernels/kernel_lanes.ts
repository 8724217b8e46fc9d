/** Lanes of the attention kernel, with keys and values in blocks all over a memory. */
import { CACHE_FORMS, LANE } from '../../../compute/wasm/memory/layouts.js';
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import { permutation } from '../../../experts/routing/random.js';
import { KV_DTYPES } from '../../../compute/base/kv_dtype.js';
import { randomFrom, randomValues } from '../../refs/random.js';
import { int8RowRef } from '../../refs/stored_row_ref.js';
import { bf16Of, bitsOf } from '../../refs/wire_dtype_ref.js';
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

/** Where blocks are: their size, a seed for their order, and how keys and values lie in them; rows of values lie behind all keys of a block or beside each key. */
export interface Blocks {
  readonly blockSize: number;
  readonly seed: number;
  readonly form: 'panels' | 'rows' | 'interleaved rows';
  /** What keys and values are kept as; rows are float32. */
  readonly dtype: LaneDtype;
}

export type LaneDtype = (typeof KV_DTYPES)[number];

const PANEL = 16;
/** Between blocks there is anything, and in them where no token is. */
const LAYER_OFFSET = 8;

interface Placing {
  readonly width: number;
  readonly valueWidth: number;
  /** From a block's beginning to its values, and the floats between rows. */
  readonly valueOffset: number;
  readonly keyStride: number;
  readonly valueStride: number;
}

/** [token][head][valueDim]; `stale`: what is in the blocks where no key or value is. */
export function runLane(place: KernelValues, lane: LaneCase, where: Blocks, stale = 0): Float32Array {
  const { memory } = place;
  const { blockSize, seed, form, dtype } = where;
  const { position, numTokens, numHeads, dim, valueDim, window, softmaxScale } = lane;
  const placing = placingOf(lane, where);
  const { width, valueWidth, valueOffset, keyStride, valueStride } = placing;
  const numBlocks = Math.ceil(lane.keys.length / dim / blockSize);
  const blockFloats = LAYER_OFFSET + roomOf(where) * (2 + width + valueWidth);
  const start = place.rows(new Float32Array(numBlocks), 1, blockFloats, stale);
  const blocks = permutation(numBlocks, randomFrom(seed)).map((block) => start + 4 * block * blockFloats);
  for (let key = 0; key < lane.keys.length / dim; key++) {
    const address = blocks[Math.floor(key / blockSize)]!;
    const rows = [
      lane.keys.subarray(key * dim, (key + 1) * dim),
      lane.values.subarray(key * valueDim, (key + 1) * valueDim),
    ] as const;
    if (where.dtype === 'f32') writeToken(memory.floats(address, blockFloats), key % blockSize, placing, where, rows);
    else writeStored(memory.bytes(address, 4 * blockFloats), key % blockSize, placing, where, rows);
  }
  const outBytes = 4 * (valueDim + 1);
  const fields = {
    ...{ position, numTokens, numHeads, window, softmaxScale, width, valueWidth, valueDim, blockSize, storedKeys: 0 },
    queries: place.rows(lane.queries, dim, width),
    queryTokenBytes: 4 * numHeads * width,
    queryHeadBytes: 4 * width,
    sinks: lane.sinks === null ? 0 : place.floats(lane.sinks),
    blocks: place.words(blocks),
    form: CACHE_FORMS.indexOf(form === 'panels' ? 'panels' : 'rows'),
    ...{
      keyOffset: 4 * LAYER_OFFSET,
      keyBytes: 4 * keyStride,
      valueOffset: dtype === 'f32' ? 4 * valueOffset : 4 * LAYER_OFFSET + storedBytes(where, width),
      valueBytes: 4 * valueStride,
    },
    ...{
      out: place.floats(numTokens * numHeads * (valueDim + 1)),
      outTokenBytes: numHeads * outBytes,
      outHeadBytes: outBytes,
    },
    scratch: 0,
    dtype: KV_DTYPES.indexOf(dtype),
  };
  const descriptor = new Descriptor(memory, LANE, fields);
  descriptor.set({ scratch: place.floats(memory.kernels.attendBytes(descriptor.address) / 4) });
  memory.kernels.attend(descriptor.address);
  descriptor.dispose();
  const gaps = place.readRows(fields.out + 4 * valueDim, numTokens * numHeads, 1, valueDim + 1);
  if (!gaps.every(Number.isNaN)) throw new Error('attention wrote behind a row');
  return place.readRows(fields.out, numTokens * numHeads, valueDim, valueDim + 1);
}

function placingOf({ dim, valueDim }: LaneCase, { blockSize, form }: Blocks): Placing {
  const [width, valueWidth] = [roundUp4(dim), roundUp4(valueDim)];
  const isInterleaved = form === 'interleaved rows';
  return {
    ...{ width, valueWidth },
    valueOffset: LAYER_OFFSET + (isInterleaved ? width : blockSize * width),
    keyStride: isInterleaved ? width + valueWidth : width,
    valueStride: isInterleaved ? width + valueWidth : valueWidth,
  };
}

/** A token's key and value, zeros in their padding. */
function writeToken(
  block: Float32Array,
  token: number,
  { width, valueWidth, valueOffset, keyStride, valueStride }: Placing,
  { blockSize, form }: Blocks,
  [key, value]: readonly [Float32Array, Float32Array],
): void {
  for (let c = 0; c < width; c++) {
    const first = token - (token % PANEL);
    const inPanel = first * width + c * Math.min(PANEL, blockSize - first) + token - first;
    block[LAYER_OFFSET + (form === 'panels' ? inPanel : token * keyStride + c)] = key[c] ?? 0;
  }
  for (let c = 0; c < valueWidth; c++) {
    const first = c - (c % PANEL);
    const inPanel = first * blockSize + token * Math.min(PANEL, valueWidth - first) + c - first;
    block[valueOffset + (form === 'panels' ? inPanel : token * valueStride + c)] = value[c] ?? 0;
  }
}

/** Tokens that a block has room for: an even number where two tokens' codes lie side by side. */
const roomOf = ({ blockSize, dtype }: Blocks): number => (dtype === 'int8' ? 2 * Math.ceil(blockSize / 2) : blockSize);

/** Of the keys of a block, or of its values: of int8 words, then codes. */
const storedBytes = (where: Blocks, width: number): number =>
  roomOf(where) * (where.dtype === 'int8' ? 4 + width : 2 * width);

/** A token's key and value in panels of bf16 or int8, zeros in their padding. */
function writeStored(
  block: Uint8Array,
  token: number,
  { width, valueWidth }: Placing,
  where: Blocks,
  [key, value]: readonly [Float32Array, Float32Array],
): void {
  const keys = block.subarray(4 * LAYER_OFFSET);
  const values = keys.subarray(storedBytes(where, width));
  const room = roomOf(where);
  const first = token - (token % PANEL);
  const numTokens = Math.min(PANEL, room - first);
  writeElements(keys, token, where, padded(key, width), (c, pair) => {
    const place = Math.floor(c / pair) * numTokens + token - first;
    return first * width + pair * place + (c % pair);
  });
  writeElements(values, token, where, padded(value, valueWidth), (c, pair) => {
    const start = c - (c % PANEL);
    const numChannels = Math.min(PANEL, valueWidth - start);
    const row = Math.floor(token / pair) * numChannels + c - start;
    return start * room + pair * row + (token % pair);
  });
}

const padded = (row: Float32Array, width: number): readonly [row: Float32Array, numZeros: number] => [
  row,
  width - row.length,
];

/** `placeOf`: where a channel's element is, in elements, where so many lie side by side. */
function writeElements(
  to: Uint8Array,
  token: number,
  where: Blocks,
  [row, numZeros]: readonly [Float32Array, number],
  placeOf: (channel: number, pair: number) => number,
): void {
  const view = new DataView(to.buffer, to.byteOffset, to.byteLength);
  if (where.dtype === 'bf16') {
    const elements = [...row, ...new Array<number>(numZeros).fill(0)];
    elements.forEach((value, c) => view.setUint16(2 * placeOf(c, 1), bf16Of(bitsOf(value)), true));
    return;
  }
  const { scale, min, codes } = int8RowRef(row);
  const word = Number.isNaN(scale) ? 0x7fc07fc0 : bitsOf(scale) + bitsOf(min) / 0x10000;
  view.setUint32(4 * token, word, true);
  const elements = [...codes, ...new Array<number>(numZeros).fill(0)];
  elements.forEach((code, c) => view.setUint8(4 * roomOf(where) + placeOf(c, 2), code));
}

/** What `run` makes of a lane, so many tokens at a time. */
export function inChunks(lane: LaneCase, size: number, run: (tokens: LaneCase) => Float32Array): Float32Array {
  const parts: number[] = [];
  for (let token = 0; token < lane.numTokens; token += size) {
    parts.push(...run(tokensOf(lane, token, Math.min(size, lane.numTokens - token))));
  }
  return Float32Array.from(parts);
}
