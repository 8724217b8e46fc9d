/**
 * Groups of floats → words of codes and their scales: bit for bit what code_rounding.ts says, and E4M3.
 * Why: docs/decisions/formats.md#numbers-are-rounded-by-one-rule
 */
import { FP8, INT4, INT8, ROW_ALIGN, UINT4 } from '../memory/memory.as';

const ABS_MASK: i32 = 0x7fffffff;
const INFINITY_BITS: i32 = 0x7f800000;
/** 2¹²⁴: what is below it has a scale whose 15-fold is finite. */
const FOUR_BITS_LIMIT: i32 = (127 + 124) << 23;
const INT8_MAX: f32 = 127;
/** The largest scale whose 127-fold is finite. */
const INT8_LARGEST_SCALE: f32 = 2.6793883890187504e36;
const E4M3_MAX: f32 = 448;
/** The least number of E4M3 that isn't subnormal, and how many of its last steps a one has below. */
const E4M3_NORMAL: f32 = 0.015625;
const E4M3_STEPS: f32 = 512;
/** From the exponent's bias of a float, moved down to three bits of mantissa, to that of E4M3. */
const E4M3_BIAS: i32 = (127 - 7) << 3;
/** How many scales a group of four bits is tried with. */
const NUM_TRIED: i32 = 5;

/** ROW_ALIGN floats → a group's words. Returns whether all have codes: finite ones, and of four bits those below 2¹²⁴. */
export function roundGroup(dtype: i32, from: usize, to: usize): bool {
  const top = largestBits(from);
  if (top >= (dtype == INT4 || dtype == UINT4 ? FOUR_BITS_LIMIT : INFINITY_BITS)) return false;
  const largest = reinterpret<f32>(top);
  if (dtype == INT8) roundInt8(from, min<f32>(largest / INT8_MAX, INT8_LARGEST_SCALE), to);
  else if (dtype == FP8) roundFp8(from, largest / E4M3_MAX, to);
  else if (dtype == INT4) roundInt4(from, to);
  else roundUint4(from, to);
  return true;
}

function roundInt8(from: usize, scale: f32, to: usize): void {
  store<f32>(to, scale);
  const divisor = f32x4.splat(divisorOf(scale));
  const most = f32x4.splat(INT8_MAX);
  const least = f32x4.splat(-INT8_MAX);
  for (let i = 0; i < ROW_ALIGN; i += 16, from += 64, to += 16) {
    const low = i16x8.narrow_i32x4_s(codesOf(from, divisor, least, most), codesOf(from + 16, divisor, least, most));
    const high = i16x8.narrow_i32x4_s(
      codesOf(from + 32, divisor, least, most),
      codesOf(from + 48, divisor, least, most),
    );
    v128.store(to, i8x16.narrow_i16x8_s(low, high), 4);
  }
}

/** The nearest codes, ties to even. */
function roundFp8(from: usize, scale: f32, to: usize): void {
  store<f32>(to, scale);
  const divisor = divisorOf(scale);
  for (let i: usize = 0; i < <usize>ROW_ALIGN; i++, from += 4) {
    const value = load<f32>(from);
    const quotient = min<f32>(abs(value) / divisor, E4M3_MAX);
    const sign = (reinterpret<i32>(value) >> 24) & 0x80;
    store<u8>(to + i, sign | e4m3Of(quotient), 4);
  }
}

function e4m3Of(value: f32): i32 {
  if (value < E4M3_NORMAL) return <i32>nearest(value * E4M3_STEPS);
  const bits = reinterpret<i32>(value);
  return ((bits + 0x7ffff + ((bits >> 20) & 1)) >> 20) - E4M3_BIAS;
}

function int4Divisor(index: i32): f32 {
  return index == 0 ? -8 : index == 1 ? -7.5 : index == 2 ? -8.5 : index == 3 ? -7 : -9;
}

function roundInt4(from: usize, to: usize): void {
  const smallest = leastOf(from);
  const largest = largestOf(from);
  const extreme = largest >= -smallest ? largest : smallest;
  let scale: f32 = 0;
  let leastError: f32 = Infinity;
  for (let i = 0; i < NUM_TRIED; i++) {
    const tried = bf16Scale(extreme / int4Divisor(i));
    const error = squaredError(from, tried, -8, 7);
    if (i > 0 && !(error < leastError)) continue;
    scale = tried;
    leastError = i == 0 && !(error < Infinity) ? Infinity : error;
  }
  store<f32>(to, scale);
  roundNibbles(from, scale, 0, -8, 7, to + 4);
}

function uint4Share(index: i32): f32 {
  return index == 0 ? 1 : index == 1 ? 0.95 : index == 2 ? 0.9 : index == 3 ? 0.85 : 0.8;
}

function roundUint4(from: usize, to: usize): void {
  const smallest = leastOf(from);
  const range = (largestOf(from) - smallest) / 15;
  let scale: f32 = 0;
  let zero: f32 = 0;
  let leastError: f32 = Infinity;
  for (let i = 0; i < NUM_TRIED; i++) {
    const share = uint4Share(i);
    const triedScale = bf16Scale(range * share);
    const tried: f32 = triedScale == 0 ? 0 : max<f32>(0, min<f32>(15, nearest<f32>((-smallest * share) / triedScale)));
    const error = squaredError(from, triedScale, -tried, 15 - tried);
    if (i > 0 && !(error < leastError)) continue;
    scale = triedScale;
    zero = tried;
    leastError = i == 0 && !(error < Infinity) ? Infinity : error;
  }
  store<f32>(to, scale);
  store<f32>(to, zero, 4);
  roundNibbles(from, scale, <i32>zero, -zero, 15 - zero, to + 8);
}

/** Of what a group's codes with such a scale stand for. Four sums, as code_rounding.ts has them. */
function squaredError(from: usize, scale: f32, least: f32, most: f32): f32 {
  const divisor = f32x4.splat(divisorOf(scale));
  const scales = f32x4.splat(scale);
  const low = f32x4.splat(least);
  const high = f32x4.splat(most);
  let sums = f32x4.splat(0);
  for (let i = 0; i < ROW_ALIGN; i += 4, from += 16) {
    const codes = f32x4.nearest(f32x4.pmax(low, f32x4.pmin(high, f32x4.div(v128.load(from), divisor))));
    const error = f32x4.sub(v128.load(from), f32x4.mul(codes, scales));
    sums = f32x4.add(sums, f32x4.mul(error, error));
  }
  return (
    f32x4.extract_lane(sums, 0) +
    f32x4.extract_lane(sums, 1) +
    (f32x4.extract_lane(sums, 2) + f32x4.extract_lane(sums, 3))
  );
}

/** Four bits of each code + zero, the first the lowest. */
function roundNibbles(from: usize, scale: f32, zero: i32, least: f32, most: f32, to: usize): void {
  const divisor = f32x4.splat(divisorOf(scale));
  const low = f32x4.splat(least);
  const high = f32x4.splat(most);
  for (let i = 0; i < ROW_ALIGN; i += 8, from += 32, to += 4) {
    const a = i32x4.add(codesOf(from, divisor, low, high), i32x4.splat(zero));
    const b = i32x4.add(codesOf(from + 16, divisor, low, high), i32x4.splat(zero));
    store<u32>(to, nibbles(a) | (nibbles(b) << 16));
  }
}

/** The lowest four bits of four words, side by side. */
function nibbles(words: v128): i32 {
  const all = v128.and(words, i32x4.splat(15));
  const low = i32x4.extract_lane(all, 0) | (i32x4.extract_lane(all, 1) << 4);
  return low | (i32x4.extract_lane(all, 2) << 8) | (i32x4.extract_lane(all, 3) << 12);
}

/** Four quotients to the nearest whole number between two, ties to even. */
function codesOf(from: usize, divisor: v128, least: v128, most: v128): v128 {
  const quotient = f32x4.nearest(f32x4.div(v128.load(from), divisor));
  return i32x4.trunc_sat_f32x4_s(f32x4.pmax(f32x4.pmin(quotient, most), least));
}

/** What a group of zeros, or of values too small for a scale, is divided by to become zeros. */
function divisorOf(scale: f32): f32 {
  return scale == 0 ? Infinity : scale;
}

/** The nearest bfloat16 of a finite number, ties to even; 0 has no sign. */
function bf16Scale(value: f32): f32 {
  const bits = reinterpret<u32>(value);
  const rounded = reinterpret<f32>((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000);
  return rounded == 0 ? 0 : rounded;
}

/** The largest |value| of a group, as bits: without their sign, floats are ordered as integers are. */
function largestBits(from: usize): i32 {
  const mask = i32x4.splat(ABS_MASK);
  let top = i32x4.splat(0);
  for (let i = 0; i < ROW_ALIGN; i += 4, from += 16) top = i32x4.max_s(top, v128.and(v128.load(from), mask));
  return max(
    max(i32x4.extract_lane(top, 0), i32x4.extract_lane(top, 1)),
    max(i32x4.extract_lane(top, 2), i32x4.extract_lane(top, 3)),
  );
}

/** The least of a group and 0. */
function leastOf(from: usize): f32 {
  let least: f32 = 0;
  for (let i: usize = 0; i < 4 * <usize>ROW_ALIGN; i += 4) least = min<f32>(least, load<f32>(from + i));
  return least;
}

/** The largest of a group and 0. */
function largestOf(from: usize): f32 {
  let largest: f32 = 0;
  for (let i: usize = 0; i < 4 * <usize>ROW_ALIGN; i += 4) largest = max<f32>(largest, load<f32>(from + i));
  return largest;
}
