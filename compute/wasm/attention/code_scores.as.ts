/**
 * Scores of query rows against keys of int8, in whole numbers. A row's query is rounded to 16 bits at most, so that no sum passes 32; its product with a key's codes is exact in any order, and
 * score = query's scale · (key's scale · Σ query · code + key's min · Σ query).
 * Why: docs/decisions/kernels.md#attention-in-whole-numbers
 */
import { codeDots16, codeDots4 } from './code_dots.as';
import { roomOf, wordsBytes } from './code_panels.as';
import { Lane, ROWS, queriesOf, tileOf } from './lane.as';
import { PANEL, panelWidth } from './panels.as';

const ABS_MASK: i32 = 0x7fffffff;
const UPPER_HALF: i32 = 0xffff0000;
const HIGHEST_CODE: i32 = 255;
const HIGHEST_QUERY: i32 = 32767;

/** Of a tile (lane.as.ts): a float per row. */
const SUMS: usize = 4 * ROWS;

/** A row's query as whole numbers, i16 [width], where queries are; its scale and its sum in the tile. NaN and infinity are in the scale. */
export function codeQueries(lane: Lane, first: i32, count: i32): void {
  const highest = highestQuery(lane.width);
  const rowBytes = (<usize>lane.width) << 1;
  let to = queriesOf(lane);
  let at = tileOf(lane);
  let token = first / lane.numHeads;
  let head = first % lane.numHeads;
  for (const end = at + ((<usize>count) << 2); at < end; at += 4, to += rowBytes) {
    const query = lane.queries + <usize>token * lane.queryTokenBytes + <usize>head * lane.queryHeadBytes;
    const scale = topOf(query, lane.width) / <f32>highest;
    store<f32>(at, scale * lane.softmaxScale);
    store<f32>(at, <f32>roundQuery(query, lane.width, scale, <f32>highest, to), SUMS);
    if (++head == lane.numHeads) {
      head = 0;
      token++;
    }
  }
}

/** What a query of so many channels is rounded to at most. */
export function highestQuery(width: i32): i32 {
  return min(HIGHEST_QUERY, i32.MAX_VALUE / (HIGHEST_CODE * width));
}

/** The largest magnitude of `width` floats; NaN is larger than all. */
export function topOf(x: usize, width: i32): f32 {
  const mask = i32x4.splat(ABS_MASK);
  let tops = i32x4.splat(0);
  for (const end = x + ((<usize>width) << 2); x < end; x += 16) tops = i32x4.max_s(tops, v128.and(v128.load(x), mask));
  const pairs = i32x4.max_s(tops, v128.shuffle<i32>(tops, tops, 2, 3, 0, 1));
  return reinterpret<f32>(max(i32x4.extract_lane(pairs, 0), i32x4.extract_lane(pairs, 1)));
}

/** x / scale to nearest, to `to`; returns the sum. */
export function roundQuery(x: usize, width: i32, scale: f32, highest: f32, to: usize): i32 {
  const divisor = f32x4.splat(scale == 0 ? Infinity : scale);
  const most = f32x4.splat(highest);
  const least = f32x4.splat(-highest);
  let sums = i32x4.splat(0);
  for (const end = x + ((<usize>width) << 2); x < end; x += 16, to += 8) {
    const rounded = f32x4.nearest(f32x4.div(v128.load(x), divisor));
    const codes = i32x4.trunc_sat_f32x4_s(f32x4.pmax(f32x4.pmin(rounded, most), least));
    sums = i32x4.add(sums, codes);
    v128.store64_lane(to, i16x8.narrow_i32x4_s(codes, codes), 0);
  }
  const pairs = i32x4.add(sums, v128.shuffle<i32>(sums, sums, 2, 3, 0, 1));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}

/** As scorePanels (scores.as.ts), of keys of int8. */
export function scoreCodes(
  lane: Lane,
  numRows: i32,
  keys: usize,
  first: i32,
  end: i32,
  scores: usize,
  rowBytes: usize,
): void {
  const queries = queriesOf(lane);
  const width = lane.width;
  const room = roomOf(lane.blockSize);
  const codes = keys + wordsBytes(lane.blockSize);
  for (let token = first; token < end; token += PANEL) {
    const numTokens = panelWidth(room, token);
    const panel = codes + <usize>(token * width);
    const to = scores + ((<usize>token) << 2);
    if (numTokens == PANEL) codeDots16<u8>(queries, width << 1, numRows, panel, 2 * PANEL, width >> 1, to, rowBytes);
    else
      for (let at = 0; at < numTokens; at += 4)
        codeDots4<u8>(queries, width << 1, numRows, panel + 2 * at, 2 * numTokens, width >> 1, to + 4 * at, rowBytes);
    for (let at: usize = 0; at < (<usize>numTokens) << 2; at += 16)
      scaleScores(lane, numRows, keys + ((<usize>token) << 2) + at, to + at, rowBytes);
  }
}

/** Products of four keys, whole numbers, → scores. `words`: the keys'. */
function scaleScores(lane: Lane, numRows: i32, words: usize, scores: usize, rowBytes: usize): void {
  const four = v128.load(words);
  const scales = v128.and(four, i32x4.splat(UPPER_HALF));
  const mins = i32x4.shl(four, 16);
  let at = tileOf(lane);
  for (const end = at + ((<usize>numRows) << 2); at < end; at += 4, scores += rowBytes) {
    const products = f32x4.mul(scales, f32x4.convert_i32x4_s(v128.load(scores)));
    const sums = f32x4.add(products, f32x4.mul(mins, v128.load32_splat(at, SUMS)));
    v128.store(scores, f32x4.mul(sums, v128.load32_splat(at)));
  }
}
