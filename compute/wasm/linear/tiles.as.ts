/**
 * Dot products of one or two rows of x with four rows of weights, `apart` bytes from each other. Every element is summed in the same order, whatever the
 * tile: one vector of four partial sums over ascending columns, then (lane 0 + lane 1) + (lane 2 + lane 3).
 *
 * Two things about V8's compiler, measured on the 2 × 4 tile of f32 (54 GFLOP/s):
 * it puts all loads of a loop's body before the arithmetic, so a body has no more loads and partial sums than registers (15): two steps written out give 33;
 * it unrolls the innermost of nested loops more, so the loop over rows of x is here: with a call per tile, 45.
 * Hence every tile is written out, and the file is long.
 * Why: docs/decisions/kernels.md#tiles-fit-v8
 */
import { BF16, F32 } from '../memory/memory.as';
import { madd } from './math.as';

/** Row `x` times four rows of `dtype`; results go to y and every `yApart` bytes behind it. width: columns, padded. */
export function dot1x4(
  dtype: i32,
  x: usize,
  width: i32,
  w: usize,
  apart: usize,
  scales: usize,
  y: usize,
  yApart: usize,
): void {
  const end = x + ((<usize>width) << 2);
  if (dtype == F32) dotF32(x, end, w, apart, y, yApart);
  else if (dtype == BF16) dotBf16(x, end, w, apart, y, yApart);
  else dotInt8(x, end, w, apart, scales, y, yApart);
}

function dotF32(x: usize, end: usize, w0: usize, apart: usize, y: usize, yApart: usize): void {
  let w1 = w0 + apart;
  let w2 = w1 + apart;
  let w3 = w2 + apart;
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (; x < end; x += 32, w0 += 32, w1 += 32, w2 += 32, w3 += 32) {
    let p = v128.load(x);
    a = add(a, p, v128.load(w0));
    b = add(b, p, v128.load(w1));
    c = add(c, p, v128.load(w2));
    d = add(d, p, v128.load(w3));
    p = v128.load(x, 16);
    a = add(a, p, v128.load(w0, 16));
    b = add(b, p, v128.load(w1, 16));
    c = add(c, p, v128.load(w2, 16));
    d = add(d, p, v128.load(w3, 16));
  }
  storeSums(y, yApart, a, b, c, d);
}

/** Pairs of rows of x times four rows of weights; rows of y are `yBytes` apart. */
export function dot2x4F32(
  x: usize,
  numPairs: i32,
  width: i32,
  w: usize,
  apart: usize,
  y: usize,
  yApart: usize,
  yBytes: usize,
): void {
  const xBytes: usize = (<usize>width) << 2;
  for (; numPairs > 0; numPairs--) {
    let x0 = x;
    const end = x0 + xBytes;
    let x1 = end;
    let w0 = w;
    let w1 = w0 + apart;
    let w2 = w1 + apart;
    let w3 = w2 + apart;
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let e = a;
    let f = a;
    let g = a;
    let h = a;
    for (; x0 < end; x0 += 16, x1 += 16, w0 += 16, w1 += 16, w2 += 16, w3 += 16) {
      const p = v128.load(x0);
      const q = v128.load(x1);
      let v = v128.load(w0);
      a = add(a, p, v);
      e = add(e, q, v);
      v = v128.load(w1);
      b = add(b, p, v);
      f = add(f, q, v);
      v = v128.load(w2);
      c = add(c, p, v);
      g = add(g, q, v);
      v = v128.load(w3);
      d = add(d, p, v);
      h = add(h, q, v);
    }
    storeSums(y, yApart, a, b, c, d);
    storeSums(y + yBytes, yApart, e, f, g, h);
    x = x1;
    y += 2 * yBytes;
  }
}

/** The same. Half a vector of codes at a time: whole ones need more registers. */
export function dot2x4Bf16(
  x: usize,
  numPairs: i32,
  width: i32,
  w: usize,
  apart: usize,
  y: usize,
  yApart: usize,
  yBytes: usize,
): void {
  const xBytes: usize = (<usize>width) << 2;
  for (; numPairs > 0; numPairs--) {
    let x0 = x;
    const end = x0 + xBytes;
    let x1 = end;
    let w0 = w;
    let w1 = w0 + apart;
    let w2 = w1 + apart;
    let w3 = w2 + apart;
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let e = a;
    let f = a;
    let g = a;
    let h = a;
    for (; x0 < end; x0 += 16, x1 += 16, w0 += 8, w1 += 8, w2 += 8, w3 += 8) {
      const p = v128.load(x0);
      const q = v128.load(x1);
      let v = fourBf16(w0);
      a = add(a, p, v);
      e = add(e, q, v);
      v = fourBf16(w1);
      b = add(b, p, v);
      f = add(f, q, v);
      v = fourBf16(w2);
      c = add(c, p, v);
      g = add(g, q, v);
      v = fourBf16(w3);
      d = add(d, p, v);
      h = add(h, q, v);
    }
    storeSums(y, yApart, a, b, c, d);
    storeSums(y + yBytes, yApart, e, f, g, h);
    x = x1;
    y += 2 * yBytes;
  }
}

function dotBf16(x: usize, end: usize, w0: usize, apart: usize, y: usize, yApart: usize): void {
  let w1 = w0 + apart;
  let w2 = w1 + apart;
  let w3 = w2 + apart;
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (; x < end; x += 32, w0 += 16, w1 += 16, w2 += 16, w3 += 16) {
    const p = v128.load(x);
    const q = v128.load(x, 16);
    let w = v128.load(w0);
    a = add(add(a, p, lowBf16(w)), q, highBf16(w));
    w = v128.load(w1);
    b = add(add(b, p, lowBf16(w)), q, highBf16(w));
    w = v128.load(w2);
    c = add(add(c, p, lowBf16(w)), q, highBf16(w));
    w = v128.load(w3);
    d = add(add(d, p, lowBf16(w)), q, highBf16(w));
  }
  storeSums(y, yApart, a, b, c, d);
}

function dotInt8(x: usize, end: usize, w0: usize, apart: usize, s0: usize, y: usize, yApart: usize): void {
  // As many scales as eighths of codes: four bytes for 32.
  const sApart = apart >> 3;
  let w1 = w0 + apart;
  let w2 = w1 + apart;
  let w3 = w2 + apart;
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (; x < end; s0 += 4) {
    const s = v128.load32_splat(s0);
    const t = v128.load32_splat(s0 + sApart);
    const u = v128.load32_splat(s0 + 2 * sApart);
    const v = v128.load32_splat(s0 + 3 * sApart);
    for (const groupEnd = x + 128; x < groupEnd; x += 32, w0 += 8, w1 += 8, w2 += 8, w3 += 8) {
      const p = v128.load(x);
      const q = v128.load(x, 16);
      let w = v128.load8x8_s(w0);
      a = add(add(a, p, lowInt8(w, s)), q, highInt8(w, s));
      w = v128.load8x8_s(w1);
      b = add(add(b, p, lowInt8(w, t)), q, highInt8(w, t));
      w = v128.load8x8_s(w2);
      c = add(add(c, p, lowInt8(w, u)), q, highInt8(w, u));
      w = v128.load8x8_s(w3);
      d = add(add(d, p, lowInt8(w, v)), q, highInt8(w, v));
    }
  }
  storeSums(y, yApart, a, b, c, d);
}

/** sum + a · b */
export function add(sum: v128, a: v128, b: v128): v128 {
  return madd(a, b, sum);
}

/** Values 0 … 3 and 4 … 7 of eight bf16 codes: the upper halves of floats. */
export function lowBf16(codes: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), codes, 0, 8, 1, 9, 2, 10, 3, 11);
}
export function highBf16(codes: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), codes, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Four bf16 values. */
function fourBf16(at: usize): v128 {
  return i32x4.shl(v128.load16x4_u(at), 16);
}

/** Values 0 … 3 and 4 … 7 of eight int8 codes as i16. */
export function lowInt8(codes: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes)), scale);
}
export function highInt8(codes: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes)), scale);
}

/** The sums of each vector's lanes, to four places. */
export function storeSums(y: usize, apart: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const upperAb = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const upperCd = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  const lower = f32x4.add(v128.shuffle<i64>(ab, cd, 0, 2), v128.shuffle<i64>(ab, cd, 1, 3));
  const upper = f32x4.add(v128.shuffle<i64>(upperAb, upperCd, 0, 2), v128.shuffle<i64>(upperAb, upperCd, 1, 3));
  const sums = f32x4.add(lower, upper);
  v128.store_lane<f32>(y, sums, 0);
  v128.store_lane<f32>(y + apart, sums, 1);
  v128.store_lane<f32>(y + 2 * apart, sums, 2);
  v128.store_lane<f32>(y + 3 * apart, sums, 3);
}
