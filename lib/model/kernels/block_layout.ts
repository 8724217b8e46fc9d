/**
 * How keys and values lie in a block of the kernels' cache, and how the same block is rows outside it (KvCache in decoder.ts). Pure.
 * Latents are rows, their parts padded to a multiple of 4 floats (mla_layer.as.ts); keys and values of heads are in panels (panels.as.ts).
 */
import { cacheFloatsPerToken, cacheRowsOf, rowFloatsPerToken } from '../spec/cache_layout.js';
import type { AttentionSpec } from '../spec/spec.js';

/** What a block is for. */
export interface BlockShape {
  readonly attention: AttentionSpec;
  /** Tokens per block. */
  readonly blockSize: number;
  readonly numLayers: number;
}

/** float32 values that a block takes in memory. */
export const blockFloats = ({ attention, blockSize, numLayers }: BlockShape): number =>
  numLayers * blockSize * cacheFloatsPerToken(attention);

/** float32 values of a block's rows, which have no padding. */
export const rowFloats = ({ attention, blockSize, numLayers }: BlockShape): number =>
  numLayers * blockSize * rowFloatsPerToken(attention);

/** A block's rows: a copy. */
export function rowsOfBlock(block: Float32Array, shape: BlockShape): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(rowFloats(shape));
  eachRun(shape, (row, at, count, step) => {
    for (let i = 0; i < count; i++) rows[row + i] = block[at + i * step]!;
  });
  return rows;
}

/** The other way; the padding stays as it is. */
export function fillBlock(block: Float32Array, shape: BlockShape, rows: Float32Array): void {
  eachRun(shape, (row, at, count, step) => {
    for (let i = 0; i < count; i++) block[at + i * step] = rows[row + i]!;
  });
}

/** Tokens of a block that follow each other, in one of its layers. */
export interface BlockTokens {
  readonly layer: number;
  readonly start: number;
  readonly count: number;
}

/** Their rows [count, lanes, width], into `rows`. */
export function rowsOfTokens(block: Float32Array, shape: BlockShape, tokens: BlockTokens, rows: Float32Array): void {
  eachTokenRun(shape, tokens, (row, at, count, step) => {
    for (let i = 0; i < count; i++) rows[row + i] = block[at + i * step]!;
  });
}

/** The other way; what is of others stays as it is. */
export function fillTokens(block: Float32Array, shape: BlockShape, tokens: BlockTokens, rows: Float32Array): void {
  eachTokenRun(shape, tokens, (row, at, count, step) => {
    for (let i = 0; i < count; i++) block[at + i * step] = rows[row + i]!;
  });
}

/** `count` neighbours of a row from float `row` of all rows on are every `step` floats from float `at` of the block on. */
type Visit = (row: number, at: number, count: number, step: number) => void;

/** What all rows of a block have in common. */
interface Widths {
  readonly numLanes: number;
  readonly parts: readonly number[];
  /** Floats of a row, without padding and with it. */
  readonly rowWidth: number;
  readonly width: number;
}

function widthsOf({ attention }: BlockShape): Widths {
  const { numLanes, parts } = cacheRowsOf(attention);
  const rowWidth = parts.reduce((a, b) => a + b);
  return { numLanes, parts, rowWidth, width: cacheFloatsPerToken(attention) / numLanes };
}

function eachRun(shape: BlockShape, visit: Visit): void {
  const widths = widthsOf(shape);
  for (let lane = 0; lane < shape.numLayers * widths.numLanes; lane++) {
    for (let token = 0; token < shape.blockSize; token++) {
      visitRow(shape, widths, lane, token, (lane * shape.blockSize + token) * widths.rowWidth, visit);
    }
  }
}

function eachTokenRun(shape: BlockShape, { layer, start, count }: BlockTokens, visit: Visit): void {
  const widths = widthsOf(shape);
  const { numLanes, rowWidth } = widths;
  for (let token = 0; token < count; token++) {
    for (let lane = 0; lane < numLanes; lane++) {
      const row = (token * numLanes + lane) * rowWidth;
      visitRow(shape, widths, layer * numLanes + lane, start + token, row, visit);
    }
  }
}

/** `row`: where it begins among the rows. */
function visitRow(
  { attention, blockSize }: BlockShape,
  { parts, rowWidth, width }: Widths,
  lane: number,
  token: number,
  row: number,
  visit: Visit,
): void {
  const laneAt = lane * blockSize * width;
  if (attention.kind === 'mla') eachPart(parts, row, laneAt + token * width, visit);
  else if (lane % 2 === 0) visitKey(row, laneAt, token, rowWidth, width, blockSize, visit);
  else eachPanel(row, laneAt, token, rowWidth, width, blockSize, visit);
}

function eachPart(parts: readonly number[], row: number, at: number, visit: Visit): void {
  for (const width of parts) {
    visit(row, at, width, 1);
    row += width;
    at += 4 * Math.ceil(width / 4);
  }
}

/** Tokens of a panel of keys, and channels of a panel of values (panels.as.ts). */
const PANEL = 16;

type Place = [row: number, laneAt: number, token: number, dim: number, width: number, blockSize: number, visit: Visit];

function visitKey(...[row, laneAt, token, dim, width, blockSize, visit]: Place): void {
  const first = token - (token % PANEL);
  visit(row, laneAt + first * width + token - first, dim, Math.min(PANEL, blockSize - first));
}

/** A value's channels, panel by panel. */
function eachPanel(...[row, laneAt, token, dim, width, blockSize, visit]: Place): void {
  for (let first = 0; first < dim; first += PANEL) {
    const at = laneAt + first * blockSize + token * Math.min(PANEL, width - first);
    visit(row + first, at, Math.min(PANEL, dim - first), 1);
  }
}
