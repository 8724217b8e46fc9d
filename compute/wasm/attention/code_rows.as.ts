/**
 * Rows of int8 that are keys and values at once (stored_keys.as.ts), in whole numbers: scores as of keys in panels (code_scores.as.ts), each part of a row with its own
 * scale and min, and values as pairs of tokens for code_values.as.ts, sixteen channels at a time.
 * Why: docs/decisions/kernels.md#attention-in-whole-numbers
 */
import { codeDots16, codeDots4 } from './code_dots.as';
import { highestQuery, roundQuery, topOf } from './code_scores.as';
import { Lane, ROWS, loadedOf, queriesOf, roundUp4, tableOf, tileOf } from './lane.as';
import { PANEL } from './panels.as';
import { floats } from './step.as';
import { StoredKeys, restWordOf } from './stored_keys.as';
import { minOf, scaleOf } from './stored_rows.as';

/** Bytes of the word before codes. */
const WORD: usize = 4;
/** Bytes of a pair of each of ROWS queries. */
const PAIRS: usize = 4 * ROWS;

/** Behind four keys as i16: a float per row, the scale of its query and its sums over both parts; then products with the second parts, [4][ROWS]. */
const SUMS: usize = 4 * ROWS;
const REST_SUMS: usize = 8 * ROWS;
const REST_PRODUCTS: usize = 12 * ROWS;

function scalesOf(lane: Lane): usize {
  return loadedOf(lane) + ((<usize>lane.width) << 3);
}

/** Channels of the first part, padded. */
function firstWidth(lane: Lane): i32 {
  return roundUp4(changetype<StoredKeys>(lane.storedKeys).firstDim);
}

/** Rows' queries as whole numbers, [pair][ROWS] pairs of i16, zeros where there is no row: queries are the panel. */
export function codeQueriesAcross(lane: Lane, first: i32, count: i32): void {
  const width = lane.width;
  const own = firstWidth(lane);
  const highest = highestQuery(width);
  const queries = queriesOf(lane);
  const codes = loadedOf(lane);
  const codesEnd = codes + ((<usize>width) << 1);
  if (count < ROWS) memory.fill(queries, 0, <usize>(width >> 1) * PAIRS);
  let at = scalesOf(lane);
  for (let row = first; row < first + count; row++, at += 4) {
    const token = lane.queries + <usize>(row / lane.numHeads) * lane.queryTokenBytes;
    const query = token + <usize>(row % lane.numHeads) * lane.queryHeadBytes;
    const scale = topOf(query, width) / <f32>highest;
    const sum = roundQuery(query, own, scale, <f32>highest, codes);
    const rest = roundQuery(query + floats(own), width - own, scale, <f32>highest, codes + ((<usize>own) << 1));
    store<f32>(at, scale * lane.softmaxScale);
    store<f32>(at, <f32>sum, SUMS);
    store<f32>(at, <f32>rest, REST_SUMS);
    let to = queries + floats(row - first);
    for (let pair = codes; pair < codesEnd; pair += 4, to += PAIRS) store<u32>(to, load<u32>(pair));
  }
}

/** Scores of up to four keys from address `key` on, [4][ROWS] in the tile. */
export function scoreCodedKeys(lane: Lane, numRows: i32, key: usize, count: i32): void {
  const own = firstWidth(lane);
  const queries = queriesOf(lane);
  const codes = loadedOf(lane);
  const codeBytes = (<usize>lane.width) << 1;
  const rest = scalesOf(lane) + REST_PRODUCTS;
  for (let i = 0; i < count; i++) widenKey(lane, key + <usize>i * lane.keyBytes, codes + <usize>i * codeBytes);
  multiply(codes, codeBytes, count, queries, own >> 1, numRows, tileOf(lane));
  if (own < lane.width) {
    const restQueries = queries + <usize>(own >> 1) * PAIRS;
    multiply(codes + ((<usize>own) << 1), codeBytes, count, restQueries, (lane.width - own) >> 1, numRows, rest);
  }
  for (let i = 0; i < count; i++) {
    const scores = tileOf(lane) + <usize>i * PAIRS;
    if (own < lane.width) scaleParts(lane, numRows, key + <usize>i * lane.keyBytes, scores, rest + <usize>i * PAIRS);
    else scaleProducts(lane, numRows, key + <usize>i * lane.keyBytes, scores);
  }
}

/** Codes of a row as i16, each part padded with zeros to a multiple of 4. */
function widenKey(lane: Lane, key: usize, to: usize): void {
  const keys = changetype<StoredKeys>(lane.storedKeys);
  widen(key + WORD, keys.firstDim, to);
  if (keys.restDim > 0) widen(key + keys.restAt, keys.restDim, to + ((<usize>roundUp4(keys.firstDim)) << 1));
}

function widen(from: usize, count: i32, to: usize): void {
  const end = from + <usize>count;
  for (; from + 8 <= end; from += 8, to += 16) v128.store(to, v128.load8x8_u(from));
  for (; from < end; from++, to += 2) store<u16>(to, load<u8>(from));
  for (; count & 3; count++, to += 2) store<u16>(to, 0);
}

/** to[key][row] of rows from 0 on, in whole fours. */
function multiply(codes: usize, apart: usize, count: i32, panel: usize, k: i32, numRows: i32, to: usize): void {
  if (numRows > 8) codeDots16<i16>(codes, apart, count, panel, PAIRS, k, to, PAIRS);
  else
    for (let row = 0; row < numRows; row += 4)
      codeDots4<i16>(codes, apart, count, panel + floats(row), PAIRS, k, to + floats(row), PAIRS);
}

/** Whole numbers of a key → scores. */
function scaleProducts(lane: Lane, numRows: i32, key: usize, scores: usize): void {
  const word = load<u32>(key);
  const scale = f32x4.splat(scaleOf(word));
  const least = f32x4.splat(minOf(word));
  let at = scalesOf(lane);
  for (const end = scores + floats(numRows); scores < end; scores += 16, at += 16) {
    const products = f32x4.mul(scale, f32x4.convert_i32x4_s(v128.load(scores)));
    const sums = f32x4.add(products, f32x4.mul(least, v128.load(at, SUMS)));
    v128.store(scores, f32x4.mul(sums, v128.load(at)));
  }
}

/** The same, with those of the second part. */
function scaleParts(lane: Lane, numRows: i32, key: usize, scores: usize, rest: usize): void {
  const word = load<u32>(key);
  const restWord = restWordOf(changetype<StoredKeys>(lane.storedKeys), key);
  const scale = f32x4.splat(scaleOf(word));
  const least = f32x4.splat(minOf(word));
  const restScale = f32x4.splat(scaleOf(restWord));
  const restLeast = f32x4.splat(minOf(restWord));
  let at = scalesOf(lane);
  for (const end = scores + floats(numRows); scores < end; scores += 16, rest += 16, at += 16) {
    const products = f32x4.mul(scale, f32x4.convert_i32x4_s(v128.load(scores)));
    const sums = f32x4.add(products, f32x4.mul(least, v128.load(at, SUMS)));
    const restProducts = f32x4.mul(restScale, f32x4.convert_i32x4_s(v128.load(rest)));
    const restSums = f32x4.add(restProducts, f32x4.mul(restLeast, v128.load(at, REST_SUMS)));
    v128.store(scores, f32x4.mul(f32x4.add(sums, restSums), v128.load(at)));
  }
}

/** Bytes of sixteen channels of two tokens, and of those of a group's pairs. */
const PAIR: usize = 2 * PANEL;
const GROUP: usize = 1024;

/** Where the rows of keys from … to − 1 are, for {@link pairValues}; their words go into the tile, and the table becomes that of pairs. Returns its end. */
export function gatherRows(lane: Lane, from: i32, to: i32): usize {
  let words = tileOf(lane);
  let address = loadedOf(lane) + GROUP;
  for (let key = from; key < to; key++, words += 4, address += 4) {
    const block = <usize>load<u32>(lane.blocks + floats(key / lane.blockSize));
    const row = block + lane.valueOffset + <usize>(key % lane.blockSize) * lane.valueBytes;
    store<u32>(address, <u32>row);
    store<u32>(words, load<u32>(row));
  }
  const table = tableOf(lane);
  const tableEnd = table + (((<usize>(to - from + 1)) >> 1) << 2);
  let pair = loadedOf(lane);
  for (let at = table; at < tableEnd; at += 4, pair += PAIR) store<u32>(at, <u32>pair);
  return tableEnd;
}

/** Channels channel … channel + 15, as far as there are any, of `count` gathered rows, as the pairs of the table; the last row is its own partner where it has none. */
export function pairValues(lane: Lane, count: i32, channel: i32): void {
  const dim = min(PANEL, changetype<StoredKeys>(lane.storedKeys).firstDim - channel);
  const at = WORD + <usize>channel;
  const end = loadedOf(lane) + GROUP + floats(count);
  let to = loadedOf(lane);
  for (let address = loadedOf(lane) + GROUP; address < end; address += 8, to += PAIR) {
    const first = <usize>load<u32>(address) + at;
    const second = address + 4 < end ? <usize>load<u32>(address + 4) + at : first;
    if (dim == PANEL) interleave(first, second, to);
    else
      for (let i = 0; i < dim; i++)
        store<u16>(
          to + ((<usize>i) << 1),
          (<u16>load<u8>(first + <usize>i)) | ((<u16>load<u8>(second + <usize>i)) << 8),
        );
  }
}

function interleave(first: usize, second: usize, to: usize): void {
  const a = v128.load(first);
  const b = v128.load(second);
  v128.store(to, v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  v128.store(to, v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16);
}
