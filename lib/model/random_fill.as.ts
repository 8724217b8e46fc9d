/**
 * The kernels of random_fill.ts: AssemblyScript, compiled to random_fill.wasm. Philox4x32-10 (base/philox.ts) of four neighbouring counters at once, and what
 * becomes of its words. Each call fills the room from its beginning, whole counters of four words: it may pass the end of what was asked for by three of them.
 */

/** Bytes of the room, which is written at once. */
export const roomBytes: i32 = 1048576;
/** Three counters more than were asked for. */
const SLACK: i32 = 64;
/** Where it is. */
export const roomAt: usize = memory.data(roomBytes + SLACK, 16);

/** The multipliers and the steps of the key. */
const M0: i32 = 0xd2511f53;
const M1: i32 = 0xcd9e8d57;
const K0: i32 = 0x9e3779b9;
const K1: i32 = 0xbb67ae85;

/** Words of four counters: number i of each. */
let c0: v128 = i32x4.splat(0);
let c1: v128 = i32x4.splat(0);
let c2: v128 = i32x4.splat(0);
let c3: v128 = i32x4.splat(0);

/** The key, and the words of all counters of a tensor that are its own. */
let key0: i32 = 0;
let key1: i32 = 0;
let name0: i32 = 0;
let name1: i32 = 0;

/** What all calls for a tensor have in common. */
export function useStream(seedLow: i32, seedHigh: i32, nameLow: i32, nameHigh: i32): void {
  key0 = seedLow;
  key1 = seedHigh;
  name0 = nameLow;
  name1 = nameHigh;
}

/** The words of counters `block` … `block + 3`, whose numbers are of 64 bits. */
function draw(block: i64): void {
  const low = i32x4.splat(<i32>block);
  c0 = i32x4.add(low, i32x4(0, 1, 2, 3));
  c1 = i32x4.sub(i32x4.splat(<i32>(block >> 32)), i32x4.lt_u(c0, low)); // a carry is −1
  c2 = i32x4.splat(name0);
  c3 = i32x4.splat(name1);
  let k0 = key0;
  let k1 = key1;
  for (let round = 0; round < 10; round++) {
    const a0 = i64x2.extmul_low_i32x4_u(c0, i32x4.splat(M0));
    const a1 = i64x2.extmul_high_i32x4_u(c0, i32x4.splat(M0));
    const b0 = i64x2.extmul_low_i32x4_u(c2, i32x4.splat(M1));
    const b1 = i64x2.extmul_high_i32x4_u(c2, i32x4.splat(M1));
    c0 = v128.xor(v128.xor(v128.shuffle<u32>(b0, b1, 1, 3, 5, 7), c1), i32x4.splat(k0));
    c1 = v128.shuffle<u32>(b0, b1, 0, 2, 4, 6);
    c2 = v128.xor(v128.xor(v128.shuffle<u32>(a0, a1, 1, 3, 5, 7), c3), i32x4.splat(k1));
    c3 = v128.shuffle<u32>(a0, a1, 0, 2, 4, 6);
    k0 += K0;
    k1 += K1;
  }
  transpose();
}

/** From then on each of the four holds the words of one counter. */
function transpose(): void {
  const a = v128.shuffle<u32>(c0, c1, 0, 4, 1, 5);
  const b = v128.shuffle<u32>(c2, c3, 0, 4, 1, 5);
  const c = v128.shuffle<u32>(c0, c1, 2, 6, 3, 7);
  const d = v128.shuffle<u32>(c2, c3, 2, 6, 3, 7);
  c0 = v128.shuffle<u64>(a, b, 0, 2);
  c1 = v128.shuffle<u64>(a, b, 1, 3);
  c2 = v128.shuffle<u64>(c, d, 0, 2);
  c3 = v128.shuffle<u64>(c, d, 1, 3);
}

/** bound · ((word + ½) / 2³¹ − 1) in float64, rounded once. */
function scaled(words: v128, bound: f64): v128 {
  const low = f32x4.demote_f64x2_zero(scaledPair(f64x2.convert_low_i32x4_u(words), bound));
  const upper = v128.shuffle<u64>(words, words, 1, 1);
  const high = f32x4.demote_f64x2_zero(scaledPair(f64x2.convert_low_i32x4_u(upper), bound));
  return v128.shuffle<u64>(low, high, 0, 2);
}

function scaledPair(words: v128, bound: f64): v128 {
  const unit = f64x2.mul(f64x2.add(words, f64x2.splat(0.5)), f64x2.splat(1 / 2147483648.0));
  return f64x2.mul(f64x2.sub(unit, f64x2.splat(1)), f64x2.splat(bound));
}

/** Uniform in ± bound, as float32. */
export function fillFloats(block: i64, numBytes: i32, bound: f64): void {
  const end = roomAt + numBytes;
  for (let at = roomAt; at < end; at += 64, block += 4) {
    draw(block);
    v128.store(at, scaled(c0, bound));
    v128.store(at, scaled(c1, bound), 16);
    v128.store(at, scaled(c2, bound), 32);
    v128.store(at, scaled(c3, bound), 48);
  }
}

/** The same rounded to bfloat16, ties to even. */
export function fillBf16(block: i64, numBytes: i32, bound: f64): void {
  const end = roomAt + numBytes;
  for (let at = roomAt; at < end; at += 32, block += 4) {
    draw(block);
    v128.store(at, i16x8.narrow_i32x4_u(rounded(scaled(c0, bound)), rounded(scaled(c1, bound))));
    v128.store(at, i16x8.narrow_i32x4_u(rounded(scaled(c2, bound)), rounded(scaled(c3, bound))), 16);
  }
}

function rounded(values: v128): v128 {
  const odd = v128.and(i32x4.shr_u(values, 16), i32x4.splat(1));
  return i32x4.shr_u(i32x4.add(values, i32x4.add(odd, i32x4.splat(0x7fff))), 16);
}

/** Random bytes, of which some bits are kept and some set. */
export function fillCodes(block: i64, numBytes: i32, keep: i32, set: i32): void {
  const end = roomAt + numBytes;
  const kept = i8x16.splat(<i8>keep);
  const ones = i8x16.splat(<i8>set);
  for (let at = roomAt; at < end; at += 64, block += 4) {
    draw(block);
    v128.store(at, v128.or(v128.and(c0, kept), ones));
    v128.store(at, v128.or(v128.and(c1, kept), ones), 16);
    v128.store(at, v128.or(v128.and(c2, kept), ones), 32);
    v128.store(at, v128.or(v128.and(c3, kept), ones), 48);
  }
}
