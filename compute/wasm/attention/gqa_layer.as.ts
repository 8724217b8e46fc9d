/**
 * The attention part of a layer with grouped-query attention (Ainslie et al. 2023): x += attention(norm(x)).
 * A layer's part of a cache block: for each KV head the keys of `blockSize` tokens in panels (panels.as.ts), then their values in panels,
 * `roundUp4(headDim)` floats each, zeros in the padding.
 */
import { attend } from './attend.as';
import { IN_PANELS, Lane, laneBytes, roundUp4 } from './lane.as';
import { linear } from '../linear/divided.as';
import { Matrix, here, padded } from '../memory/memory.as';
import { rmsNorm } from '../linear/norm.as';
import { rope } from './rope.as';
import { addRows, clearPadding, spreadHeads } from '../linear/rows.as';
import { storeKey, storeValue } from './panels.as';
import { Part, Step, blockAt, bytesOf, floats, lacking, mostKeys, partOf } from './step.as';

@unmanaged
export class GqaLayer {
  normEps: f64;
  /** Norm weights, float32; qNorm and kNorm are per head, 0 = none. */
  norm: usize;
  qNorm: usize;
  kNorm: usize;
  /** Matrices. */
  q: usize;
  k: usize;
  v: usize;
  output: usize;
  /** As in {@link Lane}. */
  sinks: usize;
  window: i32;
  hiddenSize: i32;
  numHeads: i32;
  numKvHeads: i32;
  headDim: i32;
  /** Channels that are rotated. */
  ropeDim: i32;
  ropeLayout: i32;
  softmaxScale: f32;
  blockSize: i32;
  /** From a block's address to this layer's part. */
  cacheOffset: usize;
}

const laneAt: usize = memory.data(offsetof<Lane>(), 16);

/** Returns 0, or the bytes of scratch memory that it needs, and then nothing changed. */
export function gqaLayer(layer: usize, step: usize): usize {
  const l = changetype<GqaLayer>(layer);
  const s = changetype<Step>(step);
  // 1. Scratch memory.
  const numTokens = s.numTokens;
  const hiddenStride = padded(l.hiddenSize);
  const width = roundUp4(l.headDim);
  const kvStride = roundUp4(l.numKvHeads * l.headDim);
  const attendedStride = changetype<Matrix>(l.output).stride;
  const queries = s.scratch + floats(numTokens * hiddenStride);
  const keys = queries + floats(numTokens * l.numHeads * width);
  const values = keys + floats(numTokens * kvStride);
  const attended = values + floats(numTokens * kvStride);
  const laneScratch = attended + floats(numTokens * attendedStride);
  const perToken = hiddenStride + l.numHeads * width + 2 * kvStride + attendedStride;
  const needed = bytesOf(numTokens, perToken) + laneBytes(mostKeys(s), l.window, width, width);
  if (needed > <u64>s.scratchBytes) return lacking(needed);
  // 2. Projections.
  const normed = s.scratch;
  rmsNorm(s.x, numTokens, l.hiddenSize, hiddenStride, l.norm, l.normEps, normed, hiddenStride);
  clearPadding(normed, numTokens, l.hiddenSize, hiddenStride);
  projectQueries(l, s, normed, queries);
  linear(normed, numTokens, l.k, keys, kvStride);
  linear(normed, numTokens, l.v, values, kvStride);
  appendKeys(l, s, keys, values, kvStride);
  // 3. Attention.
  clearPadding(attended, numTokens, l.numHeads * l.headDim, attendedStride);
  describeLane(l, attendedStride, laneScratch);
  for (let i = 0; i < s.numParts; i++) attendPart(l, partOf(s, i), queries, attended);
  // 4. Back into x.
  linear(attended, numTokens, l.output, normed, hiddenStride);
  addRows(s.x, normed, numTokens, l.hiddenSize, hiddenStride);
  return 0;
}

function projectQueries(l: GqaLayer, s: Step, normed: usize, queries: usize): void {
  const width = roundUp4(l.headDim);
  linear(normed, s.numTokens, l.q, queries, l.numHeads * width);
  spreadHeads(queries, s.numTokens, l.numHeads, l.headDim, width);
  if (l.qNorm != 0) rmsNorm(queries, s.numTokens * l.numHeads, l.headDim, width, l.qNorm, l.normEps, queries, width);
  rope(queries, s.numTokens, l.numHeads * width, l.numHeads, width, s.angles, l.ropeDim, l.ropeLayout);
}

function appendKeys(l: GqaLayer, s: Step, keys: usize, values: usize, stride: i32): void {
  const headDim = l.headDim;
  for (let row = 0; row < s.numTokens; row++) {
    const key = keys + floats(row * stride);
    if (l.kNorm != 0) rmsNorm(key, l.numKvHeads, headDim, headDim, l.kNorm, l.normEps, key, headDim);
  }
  rope(keys, s.numTokens, stride, l.numKvHeads, headDim, s.angles, l.ropeDim, l.ropeLayout);
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    const first = floats(part.rowStart * stride);
    for (let head = 0; head < l.numKvHeads; head++)
      appendHead(l, part, head, keys + first + floats(head * headDim), values + first + floats(head * headDim), stride);
  }
}

/** Head by head: the panel that a token's key is spread over stays in the L1 cache for the next token. */
function appendHead(l: GqaLayer, part: Part, head: i32, key: usize, value: usize, stride: i32): void {
  const width = roundUp4(l.headDim);
  const laneSize = floats(l.blockSize * width);
  for (let t = 0; t < part.numTokens; t++, key += floats(stride), value += floats(stride)) {
    const inBlock = (part.position + t) % l.blockSize;
    const lane = blockAt(part, t, l.blockSize) + l.cacheOffset + <usize>(2 * head) * laneSize;
    storeKey(lane, l.blockSize, width, inBlock, key, l.headDim);
    storeValue(lane + laneSize, l.blockSize, width, inBlock, value, l.headDim);
  }
}

/** What all parts and heads have in common. */
function describeLane(l: GqaLayer, attendedStride: i32, scratch: usize): void {
  const lane = changetype<Lane>(here(laneAt));
  const width = roundUp4(l.headDim);
  lane.queryTokenBytes = floats(l.numHeads * width);
  lane.queryHeadBytes = floats(width);
  lane.numHeads = l.numHeads / l.numKvHeads;
  lane.window = l.window;
  lane.width = width;
  lane.softmaxScale = l.softmaxScale;
  lane.blockSize = l.blockSize;
  lane.form = IN_PANELS;
  lane.keyBytes = 0;
  lane.valueBytes = 0;
  lane.valueWidth = width;
  lane.valueDim = l.headDim;
  lane.outTokenBytes = floats(attendedStride);
  lane.outHeadBytes = floats(l.headDim);
  lane.scratch = scratch;
}

function attendPart(l: GqaLayer, part: Part, queries: usize, attended: usize): void {
  const lane = changetype<Lane>(here(laneAt));
  const laneSize = floats(l.blockSize * roundUp4(l.headDim));
  lane.numTokens = part.numTokens;
  lane.position = part.position;
  lane.blocks = part.blocks;
  for (let kvHead = 0; kvHead < l.numKvHeads; kvHead++) {
    const head = <usize>(kvHead * lane.numHeads);
    lane.queries = queries + <usize>part.rowStart * lane.queryTokenBytes + head * lane.queryHeadBytes;
    lane.out = attended + <usize>part.rowStart * lane.outTokenBytes + head * lane.outHeadBytes;
    lane.sinks = l.sinks == 0 ? 0 : l.sinks + (head << 2);
    lane.keyOffset = l.cacheOffset + <usize>(2 * kvHead) * laneSize;
    lane.valueOffset = lane.keyOffset + laneSize;
    attend(here(laneAt));
  }
}
