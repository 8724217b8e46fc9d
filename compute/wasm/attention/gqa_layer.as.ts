/**
 * The attention part of a layer with grouped-query attention (Ainslie et al. 2023), and what families add to it: x += residual · attention(norm(x)).
 * A layer's part of a cache block: for each KV head the keys of `blockSize` tokens in panels (panels.as.ts), then their values in panels,
 * `roundUp4(headDim)` values each, zeros in the padding; of int8 as code_panels.as.ts says.
 */
import { attendBlock } from './attend.as';
import { IN_PANELS, Lane, ROWS, laneBytes, roundUp4 } from './lane.as';
import { codedBytes, storeKeyCodes, storeValueCodes } from './code_panels.as';
import { exp4 } from '../linear/math.as';
import { linear } from '../linear/divided.as';
import { BF16, INT8, Matrix, here, padded } from '../memory/memory.as';
import { applyNorm } from '../linear/norm.as';
import { rope } from './rope.as';
import { addRows, addVector, clampRows, clearPadding, copyRows, scaleRows, spreadHeads } from '../linear/rows.as';
import { storeKey, storeValue } from './panels.as';
import { storeRow } from './stored_rows.as';
import { Part, Step, attentionWork, blockAt, bytesOf, floats, lacking, mostKeys, partOf } from './step.as';
import { CHUNK_ROWS, chunksFor, numSlots, ownSlot, parallel, parallelRows } from '../threads/parallel.as';

@unmanaged
export class GqaLayer {
  /** Addresses of {@link Norm}s; qNorm and kNorm are of each head, or of all heads as one vector; 0 = none. */
  norm: usize;
  qNorm: usize;
  kNorm: usize;
  normsVectors: i32;
  /** Matrices. */
  q: usize;
  k: usize;
  v: usize;
  output: usize;
  /** float32, added to what the matrices make; 0 = none. */
  qBias: usize;
  kBias: usize;
  vBias: usize;
  outputBias: usize;
  /** Whether q makes of each head its query and then a gate: what the head found is multiplied with the gate's sigmoid. */
  isGated: i32;
  /** What queries, keys and values are clamped to, either side of 0; +∞ = nothing. */
  clip: f32;
  /** What is added to x is multiplied with it. */
  residual: f32;
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
  /** Of keys and values, as in {@link Lane}. */
  kvDtype: i32;
}

/** What the chunks of a call have in common: its addresses, all of the step's rows. */
@unmanaged
class Pass {
  layer: usize;
  step: usize;
  normed: usize;
  /** With gates, what q made: each head's query and its gate, side by side. */
  gated: usize;
  queries: usize;
  keys: usize;
  values: usize;
  attended: usize;
  /** For each thread. */
  lanes: usize;
  laneBytes: usize;
  /** Units of attention that make a chunk: a unit is a block of rows of one part and KV head. */
  units: i32;
}

const passAt: usize = memory.data(offsetof<Pass>(), 16);
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
  const perLane = laneBytes(mostKeys(s), l.window, width, width);
  const gatedStride = gatedWidth(l);
  const perToken = hiddenStride + gatedStride + l.numHeads * width + 2 * kvStride + attendedStride;
  const needed = bytesOf(numTokens, perToken) + <u64>numSlots() * perLane;
  if (needed > <u64>s.scratchBytes) return lacking(needed);
  const pass = changetype<Pass>(here(passAt));
  pass.layer = layer;
  pass.step = step;
  pass.normed = s.scratch;
  pass.gated = pass.normed + floats(numTokens * hiddenStride);
  pass.queries = pass.gated + floats(numTokens * gatedStride);
  pass.keys = pass.queries + floats(numTokens * l.numHeads * width);
  pass.values = pass.keys + floats(numTokens * kvStride);
  pass.attended = pass.values + floats(numTokens * kvStride);
  pass.lanes = pass.attended + floats(numTokens * attendedStride);
  pass.laneBytes = <usize>perLane;
  // 2. Projections.
  const args = changetype<usize>(pass);
  parallelRows(normRows, numTokens, hiddenStride, args);
  if (l.isGated) linear(pass.normed, numTokens, l.q, pass.gated, gatedStride);
  else linear(pass.normed, numTokens, l.q, pass.queries, l.numHeads * width);
  linear(pass.normed, numTokens, l.k, pass.keys, kvStride);
  linear(pass.normed, numTokens, l.v, pass.values, kvStride);
  parallelRows(placeRows, numTokens, l.numHeads * width + 2 * kvStride, args);
  // 3. Attention.
  const numUnits = unitsOf(l, s);
  const numChunks = chunksFor(attentionWork(s, l.numHeads * width), numUnits);
  pass.units = (numUnits + numChunks - 1) / max(1, numChunks);
  parallel(attendUnits, (numUnits + pass.units - 1) / max(1, pass.units), args);
  if (l.isGated) parallelRows(gateRows, numTokens, 8 * gatedStride, args);
  // 4. Back into x.
  linear(pass.attended, numTokens, l.output, pass.normed, hiddenStride);
  parallelRows(addBack, numTokens, hiddenStride, args);
  return 0;
}

/** Norms rows of x. */
function normRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<GqaLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const stride = padded(l.hiddenSize);
  const row = index * CHUNK_ROWS;
  const count = min(CHUNK_ROWS, s.numTokens - row);
  const normed = pass.normed + floats(row * stride);
  applyNorm(s.x + floats(row * stride), count, l.hiddenSize, stride, l.norm, normed, stride);
  clearPadding(normed, count, l.hiddenSize, stride);
}

/** Rows of queries to where attention takes them, keys and values into the cache, and zeros where rows of what attention makes are padded. */
function placeRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<GqaLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const row = index * CHUNK_ROWS;
  const count = min(CHUNK_ROWS, s.numTokens - row);
  if (l.isGated) pickQueries(l, row, count, pass.gated, pass.queries);
  placeQueries(l, s, row, count, pass.queries);
  appendKeys(l, s, row, row + count, pass.keys, pass.values);
  const stride = changetype<Matrix>(l.output).stride;
  clearPadding(pass.attended + floats(row * stride), count, l.numHeads * l.headDim, stride);
}

/** Adds rows, with their bias, to x. */
function addBack(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<GqaLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const stride = padded(l.hiddenSize);
  const row = index * CHUNK_ROWS;
  const count = min(CHUNK_ROWS, s.numTokens - row);
  const rows = pass.normed + floats(row * stride);
  if (l.outputBias != 0) addVector(rows, count, l.outputBias, l.hiddenSize, stride);
  scaleRows(rows, count, l.hiddenSize, stride, l.residual);
  addRows(s.x + floats(row * stride), rows, count, l.hiddenSize, stride);
}

/** Floats of a token's queries and gates. */
function gatedWidth(l: GqaLayer): i32 {
  return l.isGated ? roundUp4(2 * l.numHeads * l.headDim) : 0;
}

/** Queries from beside their gates, heads side by side; the gates get their bias where they are. */
function pickQueries(l: GqaLayer, row: i32, count: i32, gated: usize, queries: usize): void {
  const stride = gatedWidth(l);
  const to = l.numHeads * roundUp4(l.headDim);
  gated += floats(row * stride);
  queries += floats(row * to);
  if (l.qBias != 0) addVector(gated, count, l.qBias, 2 * l.numHeads * l.headDim, stride);
  for (let head = 0; head < l.numHeads; head++) {
    const from = gated + floats(2 * head * l.headDim);
    copyRows(from, stride, count, l.headDim, queries + floats(head * l.headDim), to, l.headDim);
  }
}

/** Multiplies what heads found with their gates. */
function gateRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<GqaLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const stride = gatedWidth(l);
  const attendedStride = changetype<Matrix>(l.output).stride;
  const row = index * CHUNK_ROWS;
  const end = min(row + CHUNK_ROWS, s.numTokens);
  for (let t = row; t < end; t++) {
    const attended = pass.attended + floats(t * attendedStride);
    const gated = pass.gated + floats(t * stride);
    for (let head = 0; head < l.numHeads; head++)
      gate(attended + floats(head * l.headDim), gated + floats((2 * head + 1) * l.headDim), l.headDim);
  }
}

/** x · sigmoid(gate), `count` floats in place. */
function gate(x: usize, gates: usize, count: i32): void {
  const end = x + ((<usize>count) << 2);
  for (; x + 16 <= end; x += 16, gates += 16) v128.store(x, f32x4.mul(v128.load(x), sigmoid4(v128.load(gates))));
  for (; x < end; x += 4, gates += 4)
    store<f32>(x, load<f32>(x) * f32x4.extract_lane(sigmoid4(v128.load32_splat(gates)), 0));
}

function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** What a projection made gets its bias, and its norm where that is of whole rows. */
function finishRows(l: GqaLayer, x: usize, count: i32, width: i32, stride: i32, bias: usize, norm: usize): void {
  if (bias != 0) addVector(x, count, bias, width, stride);
  if (norm != 0 && l.normsVectors) applyNorm(x, count, width, stride, norm, x, stride);
}

function placeQueries(l: GqaLayer, s: Step, row: i32, count: i32, queries: usize): void {
  const width = roundUp4(l.headDim);
  queries += floats(row * l.numHeads * width);
  finishRows(l, queries, count, l.numHeads * l.headDim, l.numHeads * width, l.isGated ? 0 : l.qBias, l.qNorm);
  spreadHeads(queries, count, l.numHeads, l.headDim, width);
  if (l.qNorm != 0 && !l.normsVectors)
    applyNorm(queries, count * l.numHeads, l.headDim, width, l.qNorm, queries, width);
  if (l.clip < Infinity) clampRows(queries, count, l.numHeads * width, l.numHeads * width, l.clip);
  const angles = s.angles + floats(row * l.ropeDim);
  rope(queries, count, l.numHeads * width, l.numHeads, width, angles, l.ropeDim, l.ropeLayout);
}

function appendKeys(l: GqaLayer, s: Step, firstRow: i32, endRow: i32, keys: usize, values: usize): void {
  const headDim = l.headDim;
  const stride = roundUp4(l.numKvHeads * headDim);
  const count = endRow - firstRow;
  const first = keys + floats(firstRow * stride);
  finishRows(l, first, count, l.numKvHeads * headDim, stride, l.kBias, l.kNorm);
  finishRows(l, values + floats(firstRow * stride), count, l.numKvHeads * headDim, stride, l.vBias, 0);
  for (let row = firstRow; row < endRow; row++) {
    const key = keys + floats(row * stride);
    if (l.kNorm != 0 && !l.normsVectors) applyNorm(key, l.numKvHeads, headDim, headDim, l.kNorm, key, headDim);
  }
  if (l.clip < Infinity) {
    clampRows(first, count, stride, stride, l.clip);
    clampRows(values + floats(firstRow * stride), count, stride, stride, l.clip);
  }
  const angles = s.angles + floats(firstRow * l.ropeDim);
  rope(first, count, stride, l.numKvHeads, headDim, angles, l.ropeDim, l.ropeLayout);
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    const row = max(firstRow, part.rowStart);
    const end = min(endRow, part.rowStart + part.numTokens);
    for (let head = 0; head < l.numKvHeads; head++) {
      const at = floats(row * stride + head * headDim);
      appendHead(l, part, row - part.rowStart, end - part.rowStart, head, keys + at, values + at);
    }
  }
}

/** Tokens first … end − 1 of a part. Head by head: the panel that a token's key is spread over stays in the L1 cache for the next token. */
function appendHead(l: GqaLayer, part: Part, first: i32, end: i32, head: i32, key: usize, value: usize): void {
  const rowBytes = floats(roundUp4(l.numKvHeads * l.headDim));
  const bytes = headBytes(l);
  for (let t = first; t < end; t++, key += rowBytes, value += rowBytes) {
    const inBlock = (part.position + t) % l.blockSize;
    const keys = blockAt(part, t, l.blockSize) + l.cacheOffset + <usize>(2 * head) * bytes;
    if (l.kvDtype == INT8) appendCodes(l, keys, keys + bytes, inBlock, key, value);
    else if (l.kvDtype == BF16) appendHalves(l, keys, keys + bytes, inBlock, key, value);
    else {
      storeKey<u32>(keys, l.blockSize, roundUp4(l.headDim), inBlock, key, l.headDim);
      storeValue<u32>(keys + bytes, l.blockSize, roundUp4(l.headDim), inBlock, value, l.headDim);
    }
  }
}

/** Rows become bf16 where they are, before they go into panels. */
function appendHalves(l: GqaLayer, keys: usize, values: usize, token: i32, key: usize, value: usize): void {
  const width = roundUp4(l.headDim);
  storeRow(BF16, key, l.headDim, key, 0);
  storeRow(BF16, value, l.headDim, value, 0);
  storeKey<u16>(keys, l.blockSize, width, token, key, l.headDim);
  storeValue<u16>(values, l.blockSize, width, token, value, l.headDim);
}

/** The same with codes. */
function appendCodes(l: GqaLayer, keys: usize, values: usize, token: i32, key: usize, value: usize): void {
  const width = roundUp4(l.headDim);
  const word = (<usize>token) << 2;
  storeRow(INT8, key, l.headDim, key, keys + word);
  storeRow(INT8, value, l.headDim, value, values + word);
  storeKeyCodes(keys, l.blockSize, width, token, key, l.headDim);
  storeValueCodes(values, l.blockSize, width, token, value, l.headDim);
}

/** Of a block's keys, or of its values, of a KV head. */
function headBytes(l: GqaLayer): usize {
  const width = roundUp4(l.headDim);
  return l.kvDtype == INT8 ? codedBytes(l.blockSize, width) : floats(l.blockSize * width) >> (<usize>l.kvDtype);
}

/** What all parts and heads have in common. */
function describeLane(l: GqaLayer, scratch: usize): Lane {
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
  lane.dtype = l.kvDtype;
  lane.keyBytes = 0;
  lane.valueBytes = 0;
  lane.valueWidth = width;
  lane.valueDim = l.headDim;
  lane.outTokenBytes = floats(changetype<Matrix>(l.output).stride);
  lane.outHeadBytes = floats(l.headDim);
  lane.scratch = scratch;
  return lane;
}

/** Of the step, in the order of parts, KV heads and rows. */
function unitsOf(l: GqaLayer, s: Step): i32 {
  let count = 0;
  for (let i = 0; i < s.numParts; i++) count += l.numKvHeads * blocksOf(l, partOf(s, i));
  return count;
}

/** Of a part and KV head. */
function blocksOf(l: GqaLayer, part: Part): i32 {
  return (part.numTokens * (l.numHeads / l.numKvHeads) + ROWS - 1) / ROWS;
}

function attendUnits(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<GqaLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const lane = describeLane(l, pass.lanes + ownSlot() * pass.laneBytes);
  const first = index * pass.units;
  const end = first + pass.units;
  let start = 0;
  for (let i = 0; i < s.numParts && start < end; i++) {
    const part = partOf(s, i);
    const numBlocks = blocksOf(l, part);
    const last = start + l.numKvHeads * numBlocks;
    for (let unit = max(first, start); unit < min(end, last); unit++) {
      describePart(lane, l, part, (unit - start) / numBlocks, pass);
      attendBlock(lane, (unit - start) % numBlocks);
    }
    start = last;
  }
}

function describePart(lane: Lane, l: GqaLayer, part: Part, kvHead: i32, pass: Pass): void {
  const bytes = headBytes(l);
  const head = <usize>(kvHead * lane.numHeads);
  lane.numTokens = part.numTokens;
  lane.position = part.position;
  lane.blocks = part.blocks;
  lane.queries = pass.queries + <usize>part.rowStart * lane.queryTokenBytes + head * lane.queryHeadBytes;
  lane.out = pass.attended + <usize>part.rowStart * lane.outTokenBytes + head * lane.outHeadBytes;
  lane.sinks = l.sinks == 0 ? 0 : l.sinks + (head << 2);
  lane.keyOffset = l.cacheOffset + <usize>(2 * kvHead) * bytes;
  lane.valueOffset = lane.keyOffset + bytes;
}
