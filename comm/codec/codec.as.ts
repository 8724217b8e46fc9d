/**
 * The kernels of wire_dtype.ts and combine_sum.ts: AssemblyScript, compiled to codec.wasm, which imports the memory that it works in. They work on rows where
 * these lie, or on pieces that the caller has staged in the module's room: values f32 [numRows·channels], scales f32 [numRows·groups], codes
 * [numRows·channels]. `channels` is a whole row or whole groups of one.
 * Why: docs/decisions/exchange.md#the-codec-works-where-rows-lie
 */

/** Channels that share one scale. */
const GROUP: i32 = 128;
/** Values of a vector of codes: where rows are of whole ones, nothing behind them is touched. */
const WHOLE_CHANNELS: i32 = 16;

/** Most values of a piece, which stays in the L2 cache with its codes. Measured: half of it is 5 … 10 % slower, twice hardly faster. */
export const pieceValues: i32 = 16384;
/** Most rows of a piece: narrow ones have many scales. */
export const pieceRows: i32 = 1024;

/** Areas of the module's room, which begins at {@link room}. Kernels work on whole vectors and may pass the end of a piece: each has room for one group more. */
export const valuesAt: usize = 0;
export const sumsAt: usize = valuesAt + 4 * (pieceValues + GROUP);
/** Two levels of sums: over the ranks of a node, and over nodes. */
export const nodeSumsAt: usize = sumsAt + 4 * (pieceValues + GROUP);
export const codesAt: usize = nodeSumsAt + 4 * (pieceValues + GROUP);
/** Rows of a piece have a scale each, or one per group. */
export const scalesAt: usize = codesAt + 2 * (pieceValues + GROUP);
/** An edge group, padded with zeros, and its codes. */
const EDGE_VALUES: usize = scalesAt + 4 * pieceRows + 16;
const EDGE_CODES: usize = EDGE_VALUES + 4 * GROUP;
/** The beginning of a row, while what lies before it is decoded. */
const NEXT_ROW: usize = EDGE_CODES + GROUP;
// It ends 4 * 16 bytes behind: base/float_rows.ts, ROOM_BYTES.

/** Where the room is. */
let room: usize = 0;

/** The room is at `at` from now on: a multiple of 16. */
export function useRoom(at: usize): void {
  room = at;
}

const ABS_MASK: i32 = 0x7fffffff;
const INFINITY_BITS: i32 = 0x7f800000;
const QUIET_NAN_BITS: i32 = 0x7fc00000;

// ── bf16 ──

/** Four values rounded to the nearest, ties to even; the lower halves of their bits hold anything. For all but NaNs. */
function roundedBf16(bits: v128): v128 {
  const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1));
  return i32x4.add(bits, i32x4.add(odd, i32x4.splat(0x7fff)));
}

/** The same for any values: a NaN becomes quiet and keeps its sign and upper payload. */
function roundedAny(bits: v128): v128 {
  const quiet = v128.or(bits, i32x4.splat(0x00400000));
  return v128.bitselect(quiet, roundedBf16(bits), f32x4.ne(bits, bits));
}

export function encodeBf16(values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  const end = values + 4 * (numRows * channels);
  let to = codes;
  // Where a sum isn't a number there may be a NaN, or opposite infinities: then all once more.
  let sum = f32x4.splat(0);
  let sum2 = f32x4.splat(0);
  for (let from = values; from < end; from += 32, to += 16) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    sum = f32x4.add(sum, a);
    sum2 = f32x4.add(sum2, b);
    v128.store(to, i16x8.narrow_i32x4_u(i32x4.shr_u(roundedBf16(a), 16), i32x4.shr_u(roundedBf16(b), 16)));
  }
  if (!isNan(f32x4.add(sum, sum2))) return;
  to = codes;
  for (let from = values; from < end; from += 32, to += 16) {
    const a = i32x4.shr_u(roundedAny(v128.load(from)), 16);
    v128.store(to, i16x8.narrow_i32x4_u(a, i32x4.shr_u(roundedAny(v128.load(from, 16)), 16)));
  }
}

function isNan(values: v128): bool {
  return v128.any_true(f32x4.ne(values, values));
}

export function decodeBf16(values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  const end = values + 4 * (numRows * channels);
  let from = codes;
  for (let to = values; to < end; to += 32, from += 16) {
    const both = v128.load(from);
    v128.store(to, i32x4.shl(i32x4.extend_low_i16x8_u(both), 16));
    v128.store(to, i32x4.shl(i32x4.extend_high_i16x8_u(both), 16), 16);
  }
}

/** What decoding gives after encoding; in place where `to` is `from`. */
export function roundBf16(from: usize, to: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  const end = from + 4 * (numRows * channels);
  const upper = i32x4.splat(0xffff0000);
  for (; from < end; from += 32, to += 32) {
    v128.store(to, v128.and(roundedAny(v128.load(from)), upper));
    v128.store(to, v128.and(roundedAny(v128.load(from, 16)), upper), 16);
  }
}

// ── fp8 and int8: a scale per group ──

const FP8_MAX: f32 = 448;
const FP8_FLOOR: f32 = 1e-4;
const INT8_MAX: f32 = 127;
/** 127 · 2⁻¹²⁶: no scale is subnormal, so no group loses precision to its scale. */
const INT8_FLOOR: f32 = INT8_MAX * f32.MIN_NORMAL_VALUE;
/** The largest scale whose 127-fold is finite. */
const INT8_LARGEST_SCALE: f32 = 2.6793883890187504e36;

type Dtype = i32;
const FP8: Dtype = 0;
const INT8: Dtype = 1;

export function encodeFp8(values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  encodeRows(FP8, values, scales, codes, numRows, channels);
}

export function encodeInt8(values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  encodeRows(INT8, values, scales, codes, numRows, channels);
}

export function decodeFp8(values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  decodeRows(FP8, values, scales, codes, numRows, channels);
}

export function decodeInt8(values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  decodeRows(INT8, values, scales, codes, numRows, channels);
}

/** What decoding gives after encoding; in place where `to` is `from`. */
export function roundFp8(from: usize, to: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  roundRows(FP8, from, to, scales, codes, numRows, channels);
}

export function roundInt8(from: usize, to: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  roundRows(INT8, from, to, scales, codes, numRows, channels);
}

/** Row by row, so that its codes are in the cache. */
function roundRows(
  dtype: Dtype,
  from: usize,
  to: usize,
  scales: usize,
  codes: usize,
  numRows: i32,
  channels: i32,
): void {
  const rowBytes = 4 * channels;
  for (let row = 0; row < numRows; row++, from += rowBytes, to += rowBytes) {
    encodeRows(dtype, from, scales, codes, 1, channels);
    if (channels % WHOLE_CHANNELS == 0) {
      decodeRows(dtype, to, scales, codes, 1, channels);
      continue;
    }
    // What decoding writes behind the row is the beginning of the next one.
    const next = to + rowBytes;
    memory.copy(room + NEXT_ROW, next, 4 * 16);
    decodeRows(dtype, to, scales, codes, 1, channels);
    memory.copy(next, room + NEXT_ROW, 4 * 16);
  }
}

function encodeRows(dtype: Dtype, values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  let from = values;
  let to = codes;
  let scaleAt = scales;
  const edge = channels % GROUP;
  for (let row = 0; row < numRows; row++) {
    for (let group = channels / GROUP; group > 0; group--) {
      encodeGroup(dtype, from, scaleAt, to);
      from += 4 * GROUP;
      to += GROUP;
      scaleAt += 4;
    }
    if (edge == 0) continue;
    const edgeValues = room + EDGE_VALUES;
    const edgeCodes = room + EDGE_CODES;
    memory.copy(edgeValues, from, 4 * edge);
    memory.fill(edgeValues + 4 * edge, 0, 4 * (GROUP - edge));
    encodeGroup(dtype, edgeValues, scaleAt, edgeCodes);
    memory.copy(to, edgeCodes, edge);
    from += 4 * edge;
    to += edge;
    scaleAt += 4;
  }
}

function encodeGroup(dtype: Dtype, from: usize, scaleAt: usize, to: usize): void {
  const top = largestBits(from);
  const isFinite = top < INFINITY_BITS;
  const amax = reinterpret<f32>(isFinite ? top : largestFiniteBits(from));
  if (dtype == FP8) {
    const floored = max<f32>(amax, FP8_FLOOR);
    store<f32>(scaleAt, floored / FP8_MAX);
    const inverse = f32x4.splat(FP8_MAX / floored);
    for (let i = 0; i < GROUP; i += 16) storeFp8(from + 4 * i, inverse, to + i);
  } else {
    const floored = max<f32>(amax, INT8_FLOOR);
    store<f32>(scaleAt, min<f32>(floored / INT8_MAX, INT8_LARGEST_SCALE));
    const inverse = f32x4.splat(INT8_MAX / floored);
    for (let i = 0; i < GROUP; i += 16) storeInt8(from + 4 * i, inverse, to + i);
  }
  if (!isFinite) markNonFinite(dtype, from, to);
}

/** The largest |value| of a group, as bits: without their sign, floats are ordered as integers are. */
function largestBits(from: usize): i32 {
  const mask = i32x4.splat(ABS_MASK);
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  const end = from + 4 * GROUP;
  for (; from < end; from += 32) {
    a = i32x4.max_s(a, v128.and(v128.load(from), mask));
    b = i32x4.max_s(b, v128.and(v128.load(from, 16), mask));
  }
  a = i32x4.max_s(a, b);
  return max(
    max(i32x4.extract_lane(a, 0), i32x4.extract_lane(a, 1)),
    max(i32x4.extract_lane(a, 2), i32x4.extract_lane(a, 3)),
  );
}

function largestFiniteBits(from: usize): i32 {
  let top = 0;
  for (let i = 0; i < GROUP; i++) {
    const bits = load<i32>(from + 4 * i) & ABS_MASK;
    if (bits < INFINITY_BITS) top = max(top, bits);
  }
  return top;
}

function markNonFinite(dtype: Dtype, from: usize, to: usize): void {
  for (let i = 0; i < GROUP; i++) {
    const bits = load<i32>(from + 4 * i);
    if ((bits & ABS_MASK) >= INFINITY_BITS) store<u8>(to + i, dtype == FP8 ? ((bits >>> 24) & 0x80) | 0x7f : 0x80);
  }
}

/** Sixteen codes. */
function storeFp8(from: usize, inverse: v128, to: usize): void {
  const a = v128.load(from);
  const b = v128.load(from, 16);
  const c = v128.load(from, 32);
  const d = v128.load(from, 48);
  // The bits of a value as a saturated integer keep its sign.
  const signs = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
  const ab = i16x8.narrow_i32x4_u(fp8Of(a, inverse), fp8Of(b, inverse));
  const cd = i16x8.narrow_i32x4_u(fp8Of(c, inverse), fp8Of(d, inverse));
  v128.store(to, v128.bitselect(signs, i8x16.narrow_i16x8_u(ab, cd), i8x16.splat(-128)));
}

/** Four e4m3 codes without sign, as i32; the rounding itself takes what is a little above 448 back to it. */
function fp8Of(values: v128, inverse: v128): v128 {
  const magnitude = f32x4.abs(f32x4.mul(values, inverse));
  const smallestNormal = f32x4.splat(0.015625);
  // 1. What is normal: round the mantissa to 3 bits, ties to even, and move the exponent's bias from 127 to 7. At least 8.
  const normal = f32x4.pmax(magnitude, smallestNormal);
  const odd = v128.and(i32x4.shr_u(normal, 20), i32x4.splat(1));
  const upper = i32x4.shr_u(i32x4.add(i32x4.add(normal, odd), i32x4.splat(0x7ffff - (120 << 23))), 20);
  // 2. What is subnormal, in steps of 2⁻⁹: that is the last bit beside 2¹⁴, so the addition rounds. At most 8.
  const subnormal = f32x4.pmin(magnitude, smallestNormal);
  const lower = i32x4.sub(f32x4.add(subnormal, f32x4.splat(16384)), i32x4.splat(0x46800000));
  // 3. One of the two is exactly 8.
  return i32x4.add(upper, i32x4.sub(lower, i32x4.splat(8)));
}

/** Sixteen codes. */
function storeInt8(from: usize, inverse: v128, to: usize): void {
  const a = int8Of(f32x4.mul(v128.load(from), inverse));
  const b = int8Of(f32x4.mul(v128.load(from, 16), inverse));
  const c = int8Of(f32x4.mul(v128.load(from, 32), inverse));
  const d = int8Of(f32x4.mul(v128.load(from, 48), inverse));
  v128.store(to, i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
}

/** Four codes as i32: beside 1.5 · 2²³ the last bit is worth 1, so the addition rounds and the low bits are the code. */
function int8Of(scaled: v128): v128 {
  return i32x4.sub(f32x4.add(scaled, f32x4.splat(12582912)), i32x4.splat(0x4b400000));
}

function decodeRows(dtype: Dtype, values: usize, scales: usize, codes: usize, numRows: i32, channels: i32): void {
  let from = codes;
  let to = values;
  let scaleAt = scales;
  for (let row = 0; row < numRows; row++) {
    for (let channel = 0; channel < channels; channel += GROUP) {
      const count = min(GROUP, channels - channel);
      const scale = f32x4.splat(load<f32>(scaleAt));
      // What the last vector of an edge group writes too much, the next group overwrites.
      for (let i = 0; i < count; i += 16) {
        if (dtype == FP8) loadFp8(from + i, scale, to + 4 * i);
        else loadInt8(from + i, scale, to + 4 * i);
      }
      from += count;
      to += 4 * count;
      scaleAt += 4;
    }
  }
}

function loadFp8(from: usize, scale: v128, to: usize): void {
  const codes = v128.load(from);
  const low = i16x8.extend_low_i8x16_s(codes);
  const high = i16x8.extend_high_i8x16_s(codes);
  v128.store(to, fp8Value(i32x4.extend_low_i16x8_s(low), scale));
  v128.store(to, fp8Value(i32x4.extend_high_i16x8_s(low), scale), 16);
  v128.store(to, fp8Value(i32x4.extend_low_i16x8_s(high), scale), 32);
  v128.store(to, fp8Value(i32x4.extend_high_i16x8_s(high), scale), 48);
  const isNan = i8x16.eq(v128.and(codes, i8x16.splat(0x7f)), i8x16.splat(0x7f));
  if (v128.any_true(isNan)) markNans(i8x16.bitmask(isNan), i8x16.bitmask(codes), to);
}

/** Sign, exponent and mantissa at their places in a float with a bias of 7: 2¹²⁰ mends it, for subnormal codes too. */
function fp8Value(codes: v128, scale: v128): v128 {
  const bits = v128.and(i32x4.shl(codes, 20), i32x4.splat(0x87f00000));
  return f32x4.mul(f32x4.mul(bits, f32x4.splat(1.329227995784916e36)), scale);
}

function loadInt8(from: usize, scale: v128, to: usize): void {
  const codes = v128.load(from);
  const low = i16x8.extend_low_i8x16_s(codes);
  const high = i16x8.extend_high_i8x16_s(codes);
  v128.store(to, int8Value(i32x4.extend_low_i16x8_s(low), scale));
  v128.store(to, int8Value(i32x4.extend_high_i16x8_s(low), scale), 16);
  v128.store(to, int8Value(i32x4.extend_low_i16x8_s(high), scale), 32);
  v128.store(to, int8Value(i32x4.extend_high_i16x8_s(high), scale), 48);
  const isNan = i8x16.eq(codes, i8x16.splat(-128));
  if (v128.any_true(isNan)) markNans(i8x16.bitmask(isNan), 0, to);
}

function int8Value(codes: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(codes), scale);
}

/** Bit i of both masks is about value i of sixteen. */
function markNans(isNan: i32, isNegative: i32, to: usize): void {
  for (let i = 0; i < 16; i++) {
    if (((isNan >> i) & 1) == 1) store<i32>(to + 4 * i, QUIET_NAN_BITS | (((isNegative >> i) & 1) << 31));
  }
}

// ── sums of rows: `to` and `from` are addresses of rows that don't overlap; nothing behind a row is touched ──

/** By vectors: V8 copies inside a shared memory byte by byte where both ends aren't aligned alike. */
export function copyRow(to: usize, from: usize, channels: i32): void {
  const end = to + 4 * channels;
  const lastVector = to + 4 * (channels & ~3);
  for (; to < lastVector; to += 16, from += 16) v128.store(to, v128.load(from));
  for (; to < end; to += 4, from += 4) store<i32>(to, load<i32>(from));
}

export function clearRow(at: usize, channels: i32): void {
  memory.fill(at, 0, 4 * channels);
}

/** to += from, in float32. */
export function addRow(to: usize, from: usize, channels: i32): void {
  const end = to + 4 * channels;
  const lastVector = to + 4 * (channels & ~3);
  for (; to < lastVector; to += 16, from += 16) v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
  for (; to < end; to += 4, from += 4) store<f32>(to, load<f32>(to) + load<f32>(from));
}

/** to += weight · from, product and sum in float64, rounded once. */
export function addScaledRow(to: usize, from: usize, channels: i32, weight: f64): void {
  const end = to + 4 * channels;
  const lastVector = to + 4 * (channels & ~3);
  const weights = f64x2.splat(weight);
  for (; to < lastVector; to += 16, from += 16) {
    const low = scaledSum(v128.load(to), v128.load(from), weights);
    const high = scaledSum(v128.load64_zero(to + 8), v128.load64_zero(from + 8), weights);
    v128.store(to, i64x2.shuffle(low, high, 0, 2));
  }
  for (; to < end; to += 4, from += 4) {
    store<f32>(to, <f32>(<f64>load<f32>(to) + weight * <f64>load<f32>(from)));
  }
}

/** Of the lower two floats. */
function scaledSum(sum: v128, row: v128, weights: v128): v128 {
  const product = f64x2.mul(weights, f64x2.promote_low_f32x4(row));
  return f32x4.demote_f64x2_zero(f64x2.add(f64x2.promote_low_f32x4(sum), product));
}
