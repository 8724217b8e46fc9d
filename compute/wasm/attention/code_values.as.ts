/**
 * Weighted sums of values of int8, in whole numbers. Keys of 64 positions are a group: of each row the weights times the values' scales are rounded so that the group's largest takes 15
 * bits, and their products with codes are exact in any order; sum += group's scale · Σ weight · code, group by group. What the values' mins add is the same for all channels, Σ weight · min.
 * Why: docs/decisions/kernels.md#attention-in-whole-numbers
 */
import { roomOf, wordsBytes } from './code_panels.as';
import { gatherRows, pairValues } from './code_rows.as';
import { weighCodes1x16, weighCodes1x4, weighCodes2x16, weighCodes4x16 } from './code_weighing.as';
import { IN_PANELS, IN_ROWS, Lane, ROWS, VALUES, endOf, queriesOf, startOf, sumsOf, tableOf, tileOf } from './lane.as';
import { PANEL } from './panels.as';
import { tileRows } from '../linear/tile_rows.as';

const ABS_MASK: i32 = 0x7fffffff;
const UPPER_HALF: i32 = 0xffff0000;
const HIGHEST_WEIGHT: f32 = 32767;

/** As weighRows (weighted_values.as.ts), of values of int8. Weights become whole numbers where they are: two of 16 bits for each pair of tokens. */
export function weighCodes(
  lane: Lane,
  numRows: i32,
  startKey: i32,
  endKey: i32,
  weights: usize,
  rowBytes: usize,
): void {
  const inRows = lane.form == IN_ROWS;
  const width = lane.valueWidth;
  const narrow = width & (PANEL - 1);
  const sumBytes = (<usize>width) << 2;
  memory.fill(sumsOf(lane), 0, <usize>numRows * sumBytes);
  memory.fill(minsOf(lane), 0, (<usize>numRows) << 2);
  for (let group = startKey & ~(VALUES - 1); group < endKey; group += VALUES) {
    const from = max(group, startKey & ~(PANEL - 1));
    const to = min(group + VALUES, endKey);
    const codes = weights + ((<usize>from) << 2);
    let tableEnd: usize = 0;
    if (inRows) tableEnd = gatherRows(lane, from, to);
    else gatherWords(lane, from, to);
    for (let row = 0; row < numRows; row++) roundWeights(lane, row, codes + <usize>row * rowBytes, from, to);
    if (!inRows) tableEnd = addressPairs(lane, from, to, PANEL);
    for (let first = 0; first + PANEL <= width; first += PANEL) {
      if (inRows) pairValues(lane, to - from, first);
      weighPanel(lane, numRows, codes, rowBytes, tableEnd, first);
    }
    if (narrow == 0) continue;
    if (inRows) pairValues(lane, to - from, width - narrow);
    else tableEnd = addressPairs(lane, from, to, narrow);
    for (let row = 0; row < numRows; row++)
      weighNarrow(lane, row, codes + <usize>row * rowBytes, tableEnd, width - narrow);
  }
  for (let row = 0; row < numRows; row++) addMin(lane, row);
}

/** Of each row the scale of the group's weights, and the sum of weights · mins so far: where queries were. */
function scalesOf(lane: Lane): usize {
  return queriesOf(lane);
}
function minsOf(lane: Lane): usize {
  return queriesOf(lane) + 4 * ROWS;
}

/** The words of keys from … to − 1, in the tile. */
function gatherWords(lane: Lane, from: i32, to: i32): void {
  let words = tileOf(lane);
  let block = lane.blocks + ((<usize>(from / lane.blockSize)) << 2);
  let inBlock = from % lane.blockSize;
  for (let left = to - from; left > 0; block += 4) {
    const count = min(left, lane.blockSize - inBlock);
    const bytes = (<usize>count) << 2;
    memory.copy(words, <usize>load<u32>(block) + lane.valueOffset + ((<usize>inBlock) << 2), bytes);
    words += bytes;
    left -= count;
    inBlock = 0;
  }
}

/** The table of the codes of the pairs of tokens of keys from … to − 1: where they would begin if all panels were before one of `numChannels`. Returns its end. */
function addressPairs(lane: Lane, from: i32, to: i32, numChannels: i32): usize {
  const step = (<usize>numChannels) << 1;
  let at = tableOf(lane);
  let block = lane.blocks + ((<usize>(from / lane.blockSize)) << 2);
  let inBlock = from % lane.blockSize;
  for (let left = to - from; left > 0; block += 4) {
    const count = min(left, lane.blockSize - inBlock);
    const codes = <usize>load<u32>(block) + lane.valueOffset + wordsBytes(lane.blockSize);
    let pair = codes + <usize>(inBlock >> 1) * step;
    for (const last = codes + <usize>((inBlock + count - 1) >> 1) * step; pair <= last; pair += step, at += 4)
      store<u32>(at, <u32>pair);
    left -= count;
    inBlock = 0;
  }
  return at;
}

/** A row's weights of keys from … to − 1, at `weights`, become whole numbers there; of keys that it doesn't see 0. */
function roundWeights(lane: Lane, row: i32, weights: usize, from: i32, to: i32): void {
  const start = max(from, startOf(lane, row));
  const end = min(to, endOf(lane, row));
  const words = tileOf(lane);
  const first = (start - from) & ~3;
  const last = (end - from + 3) & ~3;
  const own = (<usize>row) << 2;
  const size = ((<usize>(to - from + 1)) << 1) & ~3;
  if (start < end) {
    const top = scaleWeights(weights, words, first, last, start - from, end - from, minsOf(lane) + own);
    store<f32>(scalesOf(lane) + own, top / HIGHEST_WEIGHT);
    memory.fill(weights, 0, (<usize>first) << 1);
    narrowWeights(weights, first, last, top > 0 ? HIGHEST_WEIGHT / top : 0);
    const written = (<usize>last) << 1;
    if (written < size) memory.fill(weights + written, 0, size - written);
  } else {
    store<f32>(scalesOf(lane) + own, 0);
    memory.fill(weights, 0, size);
  }
  if (lane.form == IN_PANELS && lane.blockSize & 1) spreadWeights(lane, weights, from, to);
}

/** weights[i] *= scale of word i, for i from `first` to `last` − 1; what is before `start` or from `end` on becomes 0. `mins`: Σ weight · min is added. Returns the largest. */
function scaleWeights(weights: usize, words: usize, first: i32, last: i32, start: i32, end: i32, mins: usize): f32 {
  const starts = i32x4.splat(start);
  const ends = i32x4.splat(end);
  let places = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let tops = i32x4.splat(0);
  let sums = f32x4.splat(0);
  for (let at = (<usize>first) << 2; at < (<usize>last) << 2; at += 16) {
    const isSeen = v128.and(i32x4.ge_s(places, starts), i32x4.lt_s(places, ends));
    const four = v128.and(v128.load(words + at), isSeen);
    const weight = v128.load(weights + at);
    const product = f32x4.mul(weight, v128.and(four, i32x4.splat(UPPER_HALF)));
    sums = f32x4.add(sums, f32x4.mul(weight, i32x4.shl(four, 16)));
    tops = i32x4.max_s(tops, v128.and(product, i32x4.splat(ABS_MASK)));
    v128.store(weights + at, product);
    places = i32x4.add(places, i32x4.splat(4));
  }
  store<f32>(mins, load<f32>(mins) + totalOf(sums));
  const pairs = i32x4.max_s(tops, v128.shuffle<i32>(tops, tops, 2, 3, 0, 1));
  return reinterpret<f32>(max(i32x4.extract_lane(pairs, 0), i32x4.extract_lane(pairs, 1)));
}

function totalOf(sums: v128): f32 {
  return (
    f32x4.extract_lane(sums, 0) +
    f32x4.extract_lane(sums, 1) +
    (f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3))
  );
}

/** weights[i] · factor to nearest, i16 from where weights[0] is: nothing that is still to be read is written over. */
function narrowWeights(weights: usize, first: i32, last: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  const end = weights + ((<usize>last) << 2);
  let to = weights + ((<usize>first) << 1);
  for (let at = weights + ((<usize>first) << 2); at < end; at += 16, to += 8) {
    const whole = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(at), factors)));
    v128.store64_lane(to, i16x8.narrow_i32x4_s(whole, whole), 0);
  }
}

/** Where blocks have odd sizes, a pair may have one token: from the last on, each to its place, which isn't before it. */
function spreadWeights(lane: Lane, weights: usize, from: i32, to: i32): void {
  const blockSize = lane.blockSize;
  const half = roomOf(blockSize) >> 1;
  const firstPair = pairOf(lane, from);
  for (let pair = pairOf(lane, to - 1); pair >= firstPair; pair--) {
    const inBlock = (pair % half) << 1;
    const key = (pair / half) * blockSize + inBlock;
    const low: u32 = key >= from ? load<u16>(weights + ((<usize>(key - from)) << 1)) : 0;
    const hasHigh = inBlock + 1 < blockSize && key + 1 < to;
    const high: u32 = hasHigh ? load<u16>(weights + ((<usize>(key + 1 - from)) << 1)) : 0;
    store<u32>(weights + ((<usize>(pair - firstPair)) << 2), low | (high << 16));
  }
}

/** The number of a position's pair of tokens among those of all blocks. */
function pairOf(lane: Lane, position: i32): i32 {
  const half = roomOf(lane.blockSize) >> 1;
  return (position / lane.blockSize) * half + ((position % lane.blockSize) >> 1);
}

/** From what the table says to channel `first`. */
function offsetOf(lane: Lane, first: i32): usize {
  return lane.form == IN_ROWS ? 0 : <usize>(first * roomOf(lane.blockSize));
}

/** Sixteen channels, from `first` on, of the pairs of the table. */
function weighPanel(lane: Lane, numRows: i32, codes: usize, rowBytes: usize, tableEnd: usize, first: i32): void {
  const table = tableOf(lane);
  const offset = offsetOf(lane, first);
  const sumBytes = (<usize>lane.valueWidth) << 2;
  let sums = sumsOf(lane) + ((<usize>first) << 2);
  let scales = scalesOf(lane);
  while (numRows > 0) {
    const count: i32 = numRows >= 4 && tileRows >= 4 ? 4 : numRows >= 2 ? 2 : 1;
    if (count == 4) weighCodes4x16(codes, rowBytes, table, tableEnd, offset, scales, sums, sumBytes);
    else if (count == 2) weighCodes2x16(codes, rowBytes, table, tableEnd, offset, scales, sums, sumBytes);
    else weighCodes1x16(codes, table, tableEnd, offset, scales, sums);
    numRows -= count;
    codes += <usize>count * rowBytes;
    sums += <usize>count * sumBytes;
    scales += (<usize>count) << 2;
  }
}

/** The last channels, fewer than sixteen, from `first` on. */
function weighNarrow(lane: Lane, row: i32, codes: usize, tableEnd: usize, first: i32): void {
  const offset = offsetOf(lane, first);
  const sums = sumsOf(lane) + ((<usize>(row * lane.valueWidth + first)) << 2);
  const scale = scalesOf(lane) + ((<usize>row) << 2);
  for (let channel: usize = 0; channel < <usize>(lane.valueWidth - first); channel += 4)
    weighCodes1x4(codes, tableOf(lane), tableEnd, offset + 2 * channel, scale, sums + 4 * channel);
}

function addMin(lane: Lane, row: i32): void {
  const min = v128.load32_splat(minsOf(lane) + ((<usize>row) << 2));
  const bytes = (<usize>lane.valueWidth) << 2;
  let sums = sumsOf(lane) + <usize>row * bytes;
  for (const end = sums + bytes; sums < end; sums += 16) v128.store(sums, f32x4.add(v128.load(sums), min));
}
