/**
 * What a token adds to a cache, a row, in the element type of the cache. Of int8, code 0 … 255 of a value x is (x − min) / scale to nearest, and what is read is
 * min + scale · code: min and scale are bf16, one word, the scale in its upper half, and rounded so that they cover the row. The product is exact, so fused or not the bits are the same.
 * A row with a value that isn't below 2¹²⁶ either side, NaN among them, is NaN as a whole.
 * Why: docs/decisions/kv_store.md#eight-bits-per-row
 */
import { bf16Of } from '../linear/convert.as';
import { BF16, F32 } from '../memory/memory.as';

/** Of a row that is NaN: scale and min. */
const NAN_WORD: u32 = 0x7fc07fc0;
/** 2¹²⁶: no step from one bound to the other passes what a float holds. */
const LIMIT: f32 = 8.507059173023462e37;
const UPPER_HALF: u32 = 0xffff0000;
const HIGHEST_CODE: f32 = 255;
/** Of a narrow row. */
const NAN_BYTE: i32 = 255;
/** Before the scale of byte 1, as the upper twelve bits of a float: 2⁻²⁰. */
const LEAST_SCALE: i32 = (127 - 20) << 3;
/** From a bf16 to −128 times it. */
const MIN_OF_SCALE: u32 = 0x8000 + (7 << 7);

/** `width` floats → values of `dtype`, side by side; of int8 also the word of scale and min, to `wordAt`. Nothing behind either end is touched. */
export function storeRow(dtype: i32, from: usize, width: i32, to: usize, wordAt: usize): void {
  if (dtype == F32) memory.copy(to, from, (<usize>width) << 2);
  else if (dtype == BF16) storeHalves(from, width, to);
  else {
    const word = wordOf(from, width);
    store<u32>(wordAt, word);
    storeCodes(from, width, word, to);
  }
}

/**
 * A row of int8 with one byte beside its codes: of few channels, whose word would be a large share of it. The byte is the scale's, three bits of mantissa under five of exponent, rounded up; min is
 * −128 · scale. 0: all values are 0; 255: NaN as a whole, also where they are too large.
 */
export function storeNarrowRow(from: usize, width: i32, to: usize, byteAt: usize): void {
  const byte = byteOf(from, width);
  store<u8>(byteAt, <u8>byte);
  storeCodes(from, width, narrowWord(byte), to);
}

/** The word that the byte of a narrow row stands for. */
export function narrowWord(byte: u32): u32 {
  if (byte == NAN_BYTE) return NAN_WORD;
  if (byte == 0) return 0;
  const scale = (byte + LEAST_SCALE) << 4;
  return (scale << 16) | (scale + MIN_OF_SCALE);
}

/** The other way. */
export function loadNarrowRow(from: usize, width: i32, byteAt: usize, to: usize): void {
  loadCodes(from, width, narrowWord(load<u8>(byteAt)), to);
}

/** The other way, of rows with a word. */
export function loadRow(dtype: i32, from: usize, width: i32, wordAt: usize, to: usize): void {
  if (dtype == F32) memory.copy(to, from, (<usize>width) << 2);
  else if (dtype == BF16) loadHalves(from, width, to);
  else loadCodes(from, width, load<u32>(wordAt), to);
}

export function scaleOf(word: u32): f32 {
  return reinterpret<f32>(word & UPPER_HALF);
}

export function minOf(word: u32): f32 {
  return reinterpret<f32>(word << 16);
}

function wordOf(row: usize, width: i32): u32 {
  const low = lowestOf(row, width);
  const high = highestOf(row, width);
  if (!(low > -LIMIT && high < LIMIT)) return NAN_WORD;
  const bits = reinterpret<u32>(low);
  const floor = (bits + (bits >> 31 ? 0xffff : 0)) & UPPER_HALF;
  const scale = (high - reinterpret<f32>(floor)) / HIGHEST_CODE;
  return ((reinterpret<u32>(scale) + 0xffff) & UPPER_HALF) | (floor >> 16);
}

function byteOf(row: usize, width: i32): u32 {
  const scale = max(highestOf(row, width) / 127, lowestOf(row, width) / -128);
  if (scale == 0) return 0;
  if (!(scale < Infinity)) return NAN_BYTE;
  // What is smaller than the least gets it.
  const byte = max(1, ((reinterpret<i32>(scale) + 0xfffff) >> 20) - LEAST_SCALE);
  return byte < NAN_BYTE ? byte : NAN_BYTE;
}

function lowestOf(row: usize, width: i32): f32 {
  const end = row + ((<usize>width) << 2);
  let lows = v128.load32_splat(row);
  for (; row + 16 <= end; row += 16) lows = f32x4.min(lows, v128.load(row));
  for (; row < end; row += 4) lows = f32x4.min(lows, v128.load32_splat(row));
  const pairs = f32x4.min(lows, v128.shuffle<i32>(lows, lows, 2, 3, 0, 1));
  return min(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

function highestOf(row: usize, width: i32): f32 {
  const end = row + ((<usize>width) << 2);
  let highs = v128.load32_splat(row);
  for (; row + 16 <= end; row += 16) highs = f32x4.max(highs, v128.load(row));
  for (; row < end; row += 4) highs = f32x4.max(highs, v128.load32_splat(row));
  const pairs = f32x4.max(highs, v128.shuffle<i32>(highs, highs, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

function storeCodes(row: usize, width: i32, word: u32, to: usize): void {
  const end = row + ((<usize>width) << 2);
  const scale = scaleOf(word);
  // Code 0 where all values are min, and in a row that is NaN.
  const divisor = f32x4.splat(scale > 0 ? scale : Infinity);
  const least = f32x4.splat(minOf(word));
  for (; row + 16 <= end; row += 16, to += 4) {
    const halves = i16x8.narrow_i32x4_u(codesOf(v128.load(row), least, divisor), i32x4.splat(0));
    v128.store32_lane(to, i8x16.narrow_i16x8_u(halves, halves), 0);
  }
  for (; row < end; row += 4, to++)
    store<u8>(to, <u8>i32x4.extract_lane(codesOf(v128.load32_splat(row), least, divisor), 0));
}

/** Four codes as i32, ties to even. */
function codesOf(values: v128, least: v128, divisor: v128): v128 {
  const steps = f32x4.nearest(f32x4.div(f32x4.sub(values, least), divisor));
  return i32x4.trunc_sat_f32x4_s(f32x4.pmin(steps, f32x4.splat(HIGHEST_CODE)));
}

function loadCodes(from: usize, width: i32, word: u32, to: usize): void {
  const end = to + ((<usize>width) << 2);
  const scale = f32x4.splat(scaleOf(word));
  const least = f32x4.splat(minOf(word));
  for (; to + 32 <= end; from += 8, to += 32) {
    const eight = v128.load8x8_u(from);
    v128.store(to, valuesOf(i32x4.extend_low_i16x8_u(eight), scale, least));
    v128.store(to, valuesOf(i32x4.extend_high_i16x8_u(eight), scale, least), 16);
  }
  for (; to < end; from++, to += 4)
    store<f32>(to, f32x4.extract_lane(valuesOf(i32x4.splat(load<u8>(from)), scale, least), 0));
}

/** min + scale · code of four codes. */
function valuesOf(codes: v128, scale: v128, least: v128): v128 {
  return f32x4.add(least, f32x4.mul(scale, f32x4.convert_i32x4_s(codes)));
}

/** To nearest, ties to even; what is beyond bf16 becomes infinite, and NaN stays. */
function storeHalves(row: usize, width: i32, to: usize): void {
  const end = row + ((<usize>width) << 2);
  for (; row + 16 <= end; row += 16, to += 8) {
    const four = bf16Of(v128.load(row));
    v128.store64_lane(to, i16x8.narrow_i32x4_u(four, four), 0);
  }
  for (; row < end; row += 4, to += 2) store<u16>(to, <u16>i32x4.extract_lane(bf16Of(v128.load32_splat(row)), 0));
}

function loadHalves(from: usize, width: i32, to: usize): void {
  const end = to + ((<usize>width) << 2);
  for (; to + 16 <= end; from += 8, to += 16) v128.store(to, i32x4.shl(v128.load16x4_u(from), 16));
  for (; to < end; from += 2, to += 4) store<u32>(to, (<u32>load<u16>(from)) << 16);
}
