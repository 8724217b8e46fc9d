/**
 * How keys and values lie in a block of the kernels' cache, and how the same block is rows outside it (KvCache in decoder.ts). Pure.
 * Latents are rows, in f32 with parts padded to a multiple of 4 values, else as outside (mla_layer.as.ts); keys and values of heads are in panels (panels.as.ts), in int8 of
 * pairs behind the parameters of all tokens of their lane (code_panels.as.ts).
 */
import { KV_PARAMETER_BYTES, KV_VALUE_BYTES, type KvDtype } from '../../../compute/base/kv_dtype.js';
import { cacheBlockBytes, cacheRowsOf, rowBytesPerToken } from '../spec/cache_layout.js';
import type { AttentionSpec } from '../spec/spec.js';

/** What a block is for. */
export interface BlockShape {
  readonly attention: AttentionSpec;
  readonly dtype: KvDtype;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly numLayers: number;
}

/** Bytes that a block takes in memory. */
export const blockBytes = ({ attention, dtype, blockSize, numLayers }: BlockShape): number =>
  numLayers * cacheBlockBytes(attention, dtype, blockSize);

/** Bytes of a block's rows, which have no padding. */
export const rowBytes = ({ attention, dtype, blockSize, numLayers }: BlockShape): number =>
  numLayers * blockSize * rowBytesPerToken(attention, dtype);

/** A block's rows: a copy. */
export function rowsOfBlock(block: Uint8Array, shape: BlockShape): Uint8Array<ArrayBuffer> {
  const rows = new Uint8Array(rowBytes(shape));
  const [to, from] = [cellsOf(rows, shape), cellsOf(block, shape)];
  eachRun(shape, (row, at, count, apart, step) => move(from, at, step, to, row, apart, count));
  return rows;
}

/** The other way; the padding stays as it is. */
export function fillBlock(block: Uint8Array, shape: BlockShape, rows: Uint8Array): void {
  const [from, to] = [cellsOf(rows, shape), cellsOf(block, shape)];
  eachRun(shape, (row, at, count, apart, step) => move(from, row, apart, to, at, step, count));
}

/** Tokens of a block that follow each other, in one of its layers. */
export interface BlockTokens {
  readonly layer: number;
  readonly start: number;
  readonly count: number;
}

/** Their rows [count, lanes, bytes of a row], into `rows`, which begins at a whole value of its buffer. */
export function rowsOfTokens(block: Uint8Array, shape: BlockShape, tokens: BlockTokens, rows: Uint8Array): void {
  const [to, from] = [cellsOf(rows, shape), cellsOf(block, shape)];
  eachTokenRun(shape, tokens, (row, at, count, apart, step) => move(from, at, step, to, row, apart, count));
}

/** The other way; what is of others stays as it is. `rows` may begin anywhere. */
export function fillTokens(block: Uint8Array, shape: BlockShape, tokens: BlockTokens, rows: Uint8Array): void {
  const [from, to] = [cellsOf(rows, shape), cellsOf(block, shape)];
  eachTokenRun(shape, tokens, (row, at, count, apart, step) => move(from, row, apart, to, at, step, count));
}

/** What is moved one by one: the bits of a value each. Whole numbers keep them, of NaN too. */
type Cells = Int32Array | Uint16Array | Uint8Array;

/** The bytes as cells; a copy where they begin inside of one. */
function cellsOf(bytes: Uint8Array, { dtype }: BlockShape): Cells {
  const size = KV_VALUE_BYTES[dtype];
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  if (dtype === 'int8') return new Uint8Array(buffer, byteOffset, byteLength);
  return dtype === 'f32'
    ? new Int32Array(buffer, byteOffset, byteLength / size)
    : new Uint16Array(buffer, byteOffset, byteLength / size);
}

/** Cells that lie side by side at both ends and are as many go at once. */
const MANY = 32;

type Move = [from: Cells, at: number, step: number, to: Cells, toAt: number, toStep: number, count: number];

function move(...[from, at, step, to, toAt, toStep, count]: Move): void {
  if (step === 1 && toStep === 1 && count >= MANY) to.set(from.subarray(at, at + count), toAt);
  else for (let i = 0; i < count; i++) to[toAt + i * toStep] = from[at + i * step]!;
}

/** `count` cells of a row, every `apart` cells from cell `row` of all rows on, are every `step` cells from cell `at` of the block on. */
type Visit = (row: number, at: number, count: number, apart: number, step: number) => void;

/** What all lanes of a block have in common, in cells. */
interface LaneSizes {
  readonly attention: AttentionSpec['kind'];
  readonly numLanes: number;
  /** What lies side by side in a token's rows: as it is padded. */
  readonly parts: readonly { readonly dim: number; readonly width: number }[];
  /** Of heads, before a row. */
  readonly numParameters: number;
  /** Of a token outside. */
  readonly rowWidth: number;
  /** Of a token's values, with padding. */
  readonly width: number;
  /** Tokens that a lane has room for, and how many cells that are summed one after the other lie side by side. */
  readonly room: number;
  readonly pair: number;
  /** Of a lane. */
  readonly laneSize: number;
}

function laneSizesOf({ attention, dtype, blockSize }: BlockShape): LaneSizes {
  const { numLanes, rows } = cacheRowsOf(attention);
  const size = KV_VALUE_BYTES[dtype];
  const rowWidth = rowBytesPerToken(attention, dtype) / numLanes / size;
  const isRow = attention.kind === 'mla' && dtype !== 'f32';
  const parts = isRow
    ? [{ dim: rowWidth, width: rowWidth }]
    : rows.map(({ width }) => ({ dim: width, width: 4 * Math.ceil(width / 4) }));
  const pair = attention.kind === 'gqa' && dtype === 'int8' ? 2 : 1;
  return {
    ...{ attention: attention.kind, numLanes, parts, rowWidth, pair, room: pair * Math.ceil(blockSize / pair) },
    numParameters: attention.kind === 'mla' ? 0 : KV_PARAMETER_BYTES[dtype] / size,
    width: parts.reduce((sum, { width }) => sum + width, 0),
    laneSize: cacheBlockBytes(attention, dtype, blockSize) / numLanes / size,
  };
}

function eachRun(shape: BlockShape, visit: Visit): void {
  const sizes = laneSizesOf(shape);
  for (let lane = 0; lane < shape.numLayers * sizes.numLanes; lane++) {
    for (let token = 0; token < shape.blockSize; token++) {
      visitToken(sizes, lane, token, (lane * shape.blockSize + token) * sizes.rowWidth, visit);
    }
  }
}

function eachTokenRun(shape: BlockShape, { layer, start, count }: BlockTokens, visit: Visit): void {
  const sizes = laneSizesOf(shape);
  const { numLanes, rowWidth } = sizes;
  for (let token = 0; token < count; token++) {
    for (let lane = 0; lane < numLanes; lane++) {
      const row = (token * numLanes + lane) * rowWidth;
      visitToken(sizes, layer * numLanes + lane, start + token, row, visit);
    }
  }
}

/** `row`: where a token's rows of a lane begin among all rows. */
function visitToken(sizes: LaneSizes, lane: number, token: number, row: number, visit: Visit): void {
  const { attention, parts, numParameters, width, laneSize, room } = sizes;
  const laneAt = lane * laneSize;
  if (attention === 'mla') {
    visitParts(parts, row, laneAt + token * width, visit);
    return;
  }
  if (numParameters > 0) visit(row, laneAt + token * numParameters, numParameters, 1, 1);
  const visitHead = lane % 2 === 0 ? visitKey : visitValue;
  visitHead(sizes, row + numParameters, laneAt + room * numParameters, token, visit);
}

function visitParts(parts: LaneSizes['parts'], row: number, at: number, visit: Visit): void {
  for (const { dim, width } of parts) {
    visit(row, at, dim, 1, 1);
    row += dim;
    at += width;
  }
}

/** Tokens of a panel of keys, and channels of a panel of values (panels.as.ts). */
const PANEL = 16;

type Place = [sizes: LaneSizes, row: number, valuesAt: number, token: number, visit: Visit];

function visitKey(...[{ parts, width, room, pair }, row, valuesAt, token, visit]: Place): void {
  const { dim } = parts[0]!;
  const first = token - (token % PANEL);
  const numTokens = Math.min(PANEL, room - first);
  const at = valuesAt + first * width + pair * (token - first);
  for (let c = 0; c < pair; c++) visit(row + c, at + c, Math.ceil((dim - c) / pair), pair, pair * numTokens);
}

/** A value's channels, panel by panel. */
function visitValue(...[{ parts, width, room, pair }, row, valuesAt, token, visit]: Place): void {
  const { dim } = parts[0]!;
  const inPair = token % pair;
  for (let first = 0; first < dim; first += PANEL) {
    const numChannels = Math.min(PANEL, width - first);
    const at = valuesAt + first * room + (token - inPair) * numChannels + inPair;
    visit(row + first, at, Math.min(PANEL, dim - first), 1, pair);
  }
}
