/**
 * The lightning indexer of DeepSeek Sparse Attention (DeepSeek-V3.2, 2025): which keys a token attends to, of more than `indexTopk`. A key's score is
 * Σ over heads of weight · relu(query · key / √dim); the highest are chosen, of equal ones those before.
 * Why: docs/decisions/exactness.md#sparse-attention-attends-to-what-was-chosen
 */
import { gatherQueries } from '../queries.as';
import { IN_ROWS, Lane, ROWS, laneBytes, roundUp4, scoreStride, scoresOf } from '../lane.as';
import { linear } from '../../linear/divided.as';
import { here } from '../../memory/memory.as';
import { MlaLayer } from './mla_fields.as';
import { describeIndexKeys, indexWordAt, rowAt, rowBytes, storeIndexKey } from './mla_rows.as';
import { applyNorm } from '../../linear/norm.as';
import { rope } from '../rope.as';
import { scaleRows, spreadHeads } from '../../linear/rows.as';
import { scoreRows } from '../scores.as';
import { Part, Step, floats, partOf } from '../step.as';
import { StoredKeys } from '../stored_keys.as';

/** Keys that are scored at once. */
export const RANGE: i32 = 1024;

const laneAt: usize = memory.data(offsetof<Lane>(), 16);
const keysAt: usize = memory.data(offsetof<StoredKeys>(), 16);
const countsAt: usize = memory.data(4 * 256, 16);

/** Floats per token that the indexer's projections take: queries, key and weights. */
export function indexFloats(l: MlaLayer): i32 {
  return l.indexQuery == 0 ? 0 : (l.indexHeads + 1) * roundUp4(l.indexDim) + roundUp4(l.indexHeads);
}

/** Where the weights of a step's heads begin. */
function weightsOf(l: MlaLayer, s: Step, index: usize): usize {
  return index + floats(s.numTokens * (l.indexHeads + 1) * roundUp4(l.indexDim));
}

/** Queries [token][head], keys and weights of heads; keys go into the cache. `index`: {@link indexFloats} per token. */
export function projectIndex(l: MlaLayer, s: Step, normed: usize, compressed: usize, index: usize): void {
  const numTokens = s.numTokens;
  const width = roundUp4(l.indexDim);
  const stride = l.indexHeads * width;
  linear(compressed, numTokens, l.indexQuery, index, stride);
  spreadHeads(index, numTokens, l.indexHeads, l.indexDim, width);
  rope(index, numTokens, stride, l.indexHeads, width, s.angles, l.ropeDim, l.indexLayout);
  const keys = index + floats(numTokens * stride);
  linear(normed, numTokens, l.indexKey, keys, width);
  applyNorm(keys, numTokens, l.indexDim, width, l.indexNorm, keys, width);
  rope(keys, numTokens, width, 1, width, s.angles, l.ropeDim, l.indexLayout);
  const weights = weightsOf(l, s, index);
  linear(normed, numTokens, l.indexWeights, weights, roundUp4(l.indexHeads));
  scaleRows(weights, numTokens, l.indexHeads, roundUp4(l.indexHeads), 1 / sqrt<f32>(<f32>l.indexHeads));
  for (let i = 0; i < s.numParts; i++) appendKeys(l, partOf(s, i), keys);
}

function appendKeys(l: MlaLayer, part: Part, keys: usize): void {
  for (let t = 0; t < part.numTokens; t++)
    storeIndexKey(l, keys + floats((part.rowStart + t) * roundUp4(l.indexDim)), rowAt(l, part, t));
}

/** Scratch memory of {@link scoreKeys}. */
export function scoreBytes(l: MlaLayer): u64 {
  return l.indexQuery == 0 ? 0 : laneBytes(RANGE, 0, roundUp4(l.indexDim), 0);
}

/** scores[key] of a part's token `t` for keys start … end − 1, where start is a multiple of RANGE; up to 3 behind them are written. */
export function scoreKeys(
  l: MlaLayer,
  s: Step,
  part: Part,
  t: i32,
  index: usize,
  start: i32,
  end: i32,
  scores: usize,
  scratch: usize,
): void {
  const lane = describeLane(l, part, part.rowStart + t, index, scratch);
  const weights = weightsOf(l, s, index) + floats((part.rowStart + t) * roundUp4(l.indexHeads));
  const firstKey = max(0, start - 15) & ~15;
  const rowBytes = floats(scoreStride(firstKey, end));
  const own = scoresOf(lane) - floats(firstKey);
  const to = scores + floats(start);
  memory.fill(to, 0, floats(roundUp4(end - start)));
  for (let first = 0; first < l.indexHeads; first += ROWS) {
    const count = min(ROWS, l.indexHeads - first);
    gatherQueries(lane, first, count);
    scoreRows(lane, count, start, end, own, rowBytes);
    for (let row = 0; row < count; row++)
      addWeighted(
        to,
        own + <usize>row * rowBytes + floats(start),
        end - start,
        load<f32>(weights + floats(first + row)),
      );
  }
}

/** to += weight · relu(from), in whole vectors. */
function addWeighted(to: usize, from: usize, count: i32, weight: f32): void {
  const zero = f32x4.splat(0);
  const weights = f32x4.splat(weight);
  for (const end = to + floats(count); to < end; to += 16, from += 16)
    v128.store(to, f32x4.add(v128.load(to), f32x4.mul(weights, f32x4.max(v128.load(from), zero))));
}

function describeLane(l: MlaLayer, part: Part, row: i32, index: usize, scratch: usize): Lane {
  const lane = changetype<Lane>(here(laneAt));
  const width = roundUp4(l.indexDim);
  lane.queries = index + floats(row * l.indexHeads * width);
  lane.queryTokenBytes = 0;
  lane.queryHeadBytes = floats(width);
  lane.numTokens = 1;
  lane.numHeads = l.indexHeads;
  lane.width = width;
  lane.softmaxScale = 1 / sqrt<f32>(<f32>l.indexDim);
  lane.blocks = part.blocks;
  lane.blockSize = l.blockSize;
  lane.form = IN_ROWS;
  lane.keyOffset = l.cacheOffset + indexWordAt(l);
  lane.keyBytes = rowBytes(l);
  lane.dtype = l.kvDtype;
  lane.storedKeys = here(keysAt);
  describeIndexKeys(l, changetype<StoredKeys>(lane.storedKeys));
  lane.valueWidth = 0;
  lane.scratch = scratch;
  return lane;
}

/** chosen i32 [numChosen] = the keys with the highest of `count` scores, ascending, of equal ones those before. NaN counts as the highest or the lowest. */
export function chooseKeys(scores: usize, count: i32, numChosen: i32, chosen: usize): void {
  // 1. The lowest score that is chosen, eight bits at a time, and how many have it and are chosen.
  let threshold: u32 = 0;
  let left = numChosen;
  for (let shift = 24; shift >= 0; shift -= 8) {
    countDigits(scores, count, threshold, shift);
    let digit = 255;
    for (; countOf(digit) < left; digit--) left -= countOf(digit);
    threshold |= (<u32>digit) << shift;
  }
  // 2. All that are higher, and the first of those that are equal.
  for (let key = 0; key < count; key++) {
    const order = orderOf(scores + floats(key));
    if (order < threshold || (order == threshold && left == 0)) continue;
    if (order == threshold) left--;
    store<i32>(chosen, key);
    chosen += 4;
  }
}

/** How many scores whose higher bits are those of `prefix` have each digit. */
function countDigits(scores: usize, count: i32, prefix: u32, shift: i32): void {
  const counts = here(countsAt);
  memory.fill(counts, 0, 4 * 256);
  const mask: u32 = shift == 24 ? 0 : (<u32>0xffffffff) << (shift + 8);
  for (const end = scores + floats(count); scores < end; scores += 4) {
    const order = orderOf(scores);
    if ((order & mask) != prefix) continue;
    const at = counts + <usize>(((order >> shift) & 255) << 2);
    store<i32>(at, load<i32>(at) + 1);
  }
}

function countOf(digit: i32): i32 {
  return load<i32>(here(countsAt) + ((<usize>digit) << 2));
}

/** A whole number that is the higher the higher the score: of a positive one its bits behind a 1, of a negative one all bits turned over. */
function orderOf(score: usize): u32 {
  const bits = load<u32>(score);
  return bits >> 31 ? ~bits : bits | 0x80000000;
}
