/** Weights between what checkpoints store and what is resident. Counts are whole groups of ROW_ALIGN values; sources and targets don't overlap. */
import { BF16, F32, ROW_ALIGN, here } from '../memory/memory.as';
import { highBf16, highInt8, lowBf16, lowInt8 } from './tiles.as';

/** Values of a piece of weights that a caller has staged at {@link stagingAt}; as large as stays in the L1 cache with what it becomes. */
export const stagingValues: i32 = 4096;
export const stagingAt: usize = memory.data(4 * stagingValues, 64);

const ABS_MASK: i32 = 0x7fffffff;
const INFINITY_BITS: i32 = 0x7f800000;
const INT8_MAX: f32 = 127;
/** The largest scale whose 127-fold is finite. */
const INT8_LARGEST_SCALE: f32 = 2.6793883890187504e36;

/**
 * Staged values of F32 or BF16 → resident ones of `dtype` at `to`, with scales from `scales` on (INT8 only). f32 → bf16 rounds to nearest, ties to even.
 * Returns whether all values could be held: NaN and infinity have no int8 code.
 */
export function encode(sourceDtype: i32, count: i32, dtype: i32, to: usize, scales: usize): bool {
  if (dtype == BF16) {
    if (sourceDtype == F32) encodeBf16(here(stagingAt), count, to);
    else memory.copy(to, here(stagingAt), (<usize>count) << 1);
    return true;
  }
  if (dtype == F32) {
    decode(sourceDtype, here(stagingAt), 0, count, to);
    return true;
  }
  for (let i = 0; i < count; i += ROW_ALIGN, to += ROW_ALIGN, scales += 4) {
    decode(sourceDtype, here(stagingAt) + ((<usize>i) << (sourceDtype == F32 ? 2 : 1)), 0, ROW_ALIGN, here(groupAt));
    if (!encodeGroup(here(groupAt), to, scales)) return false;
  }
  return true;
}

const groupAt: usize = memory.data(4 * ROW_ALIGN, 16);

/** Resident values, as floats. */
export function decode(dtype: i32, from: usize, scales: usize, count: i32, to: usize): void {
  if (dtype == F32) memory.copy(to, from, (<usize>count) << 2);
  else if (dtype == BF16) decodeBf16(from, count, to);
  else decodeInt8(from, scales, count, to);
}

function decodeBf16(from: usize, count: i32, to: usize): void {
  for (const end = from + ((<usize>count) << 1); from < end; from += 64, to += 128) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    const c = v128.load(from, 32);
    const d = v128.load(from, 48);
    v128.store(to, lowBf16(a));
    v128.store(to, highBf16(a), 16);
    v128.store(to, lowBf16(b), 32);
    v128.store(to, highBf16(b), 48);
    v128.store(to, lowBf16(c), 64);
    v128.store(to, highBf16(c), 80);
    v128.store(to, lowBf16(d), 96);
    v128.store(to, highBf16(d), 112);
  }
}

function decodeInt8(from: usize, scales: usize, count: i32, to: usize): void {
  for (const end = from + count; from < end; from += ROW_ALIGN, scales += 4, to += 4 * ROW_ALIGN) {
    const scale = v128.load32_splat(scales);
    const a = v128.load8x8_s(from);
    const b = v128.load8x8_s(from, 8);
    const c = v128.load8x8_s(from, 16);
    const d = v128.load8x8_s(from, 24);
    v128.store(to, lowInt8(a, scale));
    v128.store(to, highInt8(a, scale), 16);
    v128.store(to, lowInt8(b, scale), 32);
    v128.store(to, highInt8(b, scale), 48);
    v128.store(to, lowInt8(c, scale), 64);
    v128.store(to, highInt8(c, scale), 80);
    v128.store(to, lowInt8(d, scale), 96);
    v128.store(to, highInt8(d, scale), 112);
  }
}

function encodeBf16(from: usize, count: i32, to: usize): void {
  for (const end = to + ((<usize>count) << 1); to < end; from += 32, to += 16) {
    v128.store(to, i16x8.narrow_i32x4_u(bf16Of(v128.load(from)), bf16Of(v128.load(from, 16))));
  }
}

/** Four codes as i32; a NaN becomes quiet and keeps its sign and upper payload. */
function bf16Of(bits: v128): v128 {
  const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1));
  const rounded = i32x4.add(bits, i32x4.add(odd, i32x4.splat(0x7fff)));
  const quiet = v128.or(bits, i32x4.splat(0x00400000));
  return i32x4.shr_u(v128.bitselect(quiet, rounded, f32x4.ne(bits, bits)), 16);
}

/** Scale = largest magnitude / 127, code = round(value / scale). A group of zeros, or of values too small for a scale, has scale 0. */
function encodeGroup(from: usize, to: usize, scaleAt: usize): bool {
  const top = largestBits(from);
  if (top >= INFINITY_BITS) return false;
  const scale = min<f32>(reinterpret<f32>(top) / INT8_MAX, INT8_LARGEST_SCALE);
  store<f32>(scaleAt, scale);
  const divisor = f32x4.splat(scale == 0 ? Infinity : scale);
  for (let i = 0; i < ROW_ALIGN; i += 16) {
    const low = i16x8.narrow_i32x4_s(int8Of(from, divisor), int8Of(from + 16, divisor));
    const high = i16x8.narrow_i32x4_s(int8Of(from + 32, divisor), int8Of(from + 48, divisor));
    v128.store(to, i8x16.narrow_i16x8_s(low, high));
    from += 64;
    to += 16;
  }
  return true;
}

/** Four codes as i32, ties to even. The clamp is for subnormal scales, which are far from a 127th. */
function int8Of(from: usize, divisor: v128): v128 {
  const quotient = f32x4.nearest(f32x4.div(v128.load(from), divisor));
  return i32x4.trunc_sat_f32x4_s(f32x4.pmax(f32x4.pmin(quotient, f32x4.splat(INT8_MAX)), f32x4.splat(-INT8_MAX)));
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
