/**
 * Products of rows of whole numbers with panels of int4 and uint4: sums of whole numbers within a group, then times both scales, added to an output's one accumulator in ascending
 * order of groups, whatever the tile. The accumulators lie in `y`, so that any number of panels is one stream each. A group of x is laid out by whole_linear.as.ts.
 *
 * X: i16 or i8, what codes of x are; of i8 products are relaxed dots, whose second operand has 7 bits: codes of weights are 0 … 15 there, and what they are too large is taken
 * away from the start, times the sum of the codes of x. W: i8 for int4, whose codes are 8 too large then; u8 for uint4, which has zeros of its own.
 * Why: docs/decisions/kernels.md#activations-in-whole-numbers
 */
import { PANEL_ROW, ROW_ALIGN } from '../memory/memory.as';
import { madd } from './math.as';
import { X_HEAD } from './int8_tiles.as';

/** Bytes of codes of a group of x. */
function xBytesOf<X>(): usize {
  return <usize>ROW_ALIGN * sizeof<X>();
}

/** Bytes of scales, and zeros, of a group of a panel. */
function headBytesOf<W>(): usize {
  return isSigned<W>() ? PANEL_ROW : 2 * PANEL_ROW;
}

/** Bytes of a group of a panel. */
function groupBytesOf<W>(): usize {
  return headBytesOf<W>() + <usize>(ROW_ALIGN / 8) * PANEL_ROW;
}

/**
 * Rows of x, xBytes apart, times `numPanels` panels, `apart` bytes from each other: added to what is at `sums`, to `y`. Rows of sums and of y are sumsBytes and yBytes apart.
 * Panels go through group by group: each is one stream, and their accumulators lie in `y`.
 */
export function nibblePanels<X, W>(
  numRows: i32,
  x: usize,
  xBytes: usize,
  w: usize,
  apart: usize,
  numPanels: i32,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  for (; numRows >= 4; numRows -= 4) {
    tile<X, W>(4, x, xBytes, w, apart, numPanels, sums, sumsBytes, y, yBytes);
    x += 4 * xBytes;
    sums += 4 * sumsBytes;
    y += 4 * yBytes;
  }
  for (; numRows >= 2; numRows -= 2) {
    tile<X, W>(2, x, xBytes, w, apart, numPanels, sums, sumsBytes, y, yBytes);
    x += 2 * xBytes;
    sums += 2 * sumsBytes;
    y += 2 * yBytes;
  }
  if (numRows == 1) row<X, W>(x, x + xBytes, w, apart, numPanels, sums, y);
}

/** The same of one row, up to `end`. */
function row<X, W>(x: usize, end: usize, w: usize, apart: usize, numPanels: i32, sums: usize, y: usize): void {
  const width = <usize>numPanels * PANEL_ROW;
  while (x < end) {
    let panel = w;
    for (let at: usize = 0; at < width; at += PANEL_ROW, panel += apart) group1<X, W>(x, panel, sums + at, y + at);
    sums = y;
    x += X_HEAD + xBytesOf<X>();
    w += groupBytesOf<W>();
  }
}

/** The same of 2 or 4 rows. */
function tile<X, W>(
  numRows: i32,
  x: usize,
  xBytes: usize,
  w: usize,
  apart: usize,
  numPanels: i32,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  const width = <usize>numPanels * PANEL_ROW;
  for (const end = x + xBytes; x < end; x += X_HEAD + xBytesOf<X>(), w += groupBytesOf<W>()) {
    let panel = w;
    for (let at: usize = 0; at < width; at += PANEL_ROW, panel += apart) {
      if (numRows == 4) group4<X, W>(x, xBytes, panel, sums + at, sumsBytes, y + at, yBytes);
      else group2<X, W>(x, x + xBytes, panel, sums + at, sumsBytes, y + at, yBytes);
    }
    sums = y;
    sumsBytes = yBytes;
  }
}

/** A group of a row times that of a panel. */
function group1<X, W>(x: usize, w: usize, sums: usize, y: usize): void {
  const sum = load<i32>(x, 4);
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let c = i32x4.splat(0);
  let d = i32x4.splat(0);
  const scale = v128.load32_splat(x);
  let codes = w + headBytesOf<W>();
  let at = x + X_HEAD;
  for (const end = w + groupBytesOf<W>(); codes < end; codes += PANEL_ROW, at += 8 * sizeof<X>()) {
    if (ASC_FEATURE_RELAXED_SIMD && sizeof<X>() == 1) {
      const k = v128.load32_splat(at);
      const l = v128.load32_splat(at, 4);
      a = byteDots(a, codesAt<W>(codes), k, l);
      b = byteDots(b, codesAt<W>(codes + 16), k, l);
      c = byteDots(c, codesAt<W>(codes + 32), k, l);
      d = byteDots(d, codesAt<W>(codes + 48), k, l);
    } else {
      const k = v128.load32_splat(at);
      const l = v128.load32_splat(at, 4);
      const m = v128.load32_splat(at, 8);
      const n = v128.load32_splat(at, 12);
      a = pairDots(a, codesAt<W>(codes), k, l, m, n);
      b = pairDots(b, codesAt<W>(codes + 16), k, l, m, n);
      c = pairDots(c, codesAt<W>(codes + 32), k, l, m, n);
      d = pairDots(d, codesAt<W>(codes + 48), k, l, m, n);
    }
  }
  v128.store(y, scaled(wholeOf<X, W>(a, w, sum), v128.load(w), scale, v128.load(sums)));
  v128.store(y, scaled(wholeOf<X, W>(b, w + 16, sum), v128.load(w, 16), scale, v128.load(sums, 16)), 16);
  v128.store(y, scaled(wholeOf<X, W>(c, w + 32, sum), v128.load(w, 32), scale, v128.load(sums, 32)), 32);
  v128.store(y, scaled(wholeOf<X, W>(d, w + 48, sum), v128.load(w, 48), scale, v128.load(sums, 48)), 48);
}

/** Groups of two rows. */
function group2<X, W>(x: usize, x1: usize, w: usize, sums: usize, sumsBytes: usize, y: usize, yBytes: usize): void {
  for (let at: usize = 0; at < PANEL_ROW; at += 16) quarter2<X, W>(x, x1, w + at, sums + at, sumsBytes, y + at, yBytes);
}

/** Two rows and four outputs of a panel. */
function quarter2<X, W>(x: usize, x1: usize, w: usize, sums: usize, sumsBytes: usize, y: usize, yBytes: usize): void {
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  const weights = v128.load(w);
  let codes = w + headBytesOf<W>();
  let at = X_HEAD;
  for (const end = w + groupBytesOf<W>(); codes < end; codes += PANEL_ROW, at += 8 * sizeof<X>()) {
    a = dots<X, W>(a, codes, x + at);
    b = dots<X, W>(b, codes, x1 + at);
  }
  v128.store(y, scaled(wholeOf<X, W>(a, w, load<i32>(x, 4)), weights, v128.load32_splat(x), v128.load(sums)));
  v128.store(
    y + yBytes,
    scaled(wholeOf<X, W>(b, w, load<i32>(x1, 4)), weights, v128.load32_splat(x1), v128.load(sums + sumsBytes)),
  );
}

/** Groups of four rows. */
function group4<X, W>(x: usize, xBytes: usize, w: usize, sums: usize, sumsBytes: usize, y: usize, yBytes: usize): void {
  for (let at: usize = 0; at < PANEL_ROW; at += 16)
    quarter4<X, W>(x, xBytes, w + at, sums + at, sumsBytes, y + at, yBytes);
}

/** Four rows and four outputs of a panel. */
function quarter4<X, W>(
  x: usize,
  xBytes: usize,
  w: usize,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  const x1 = x + xBytes;
  const x2 = x1 + xBytes;
  const x3 = x2 + xBytes;
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  let c = i32x4.splat(0);
  let d = i32x4.splat(0);
  const weights = v128.load(w);
  let codes = w + headBytesOf<W>();
  let at = X_HEAD;
  for (const end = w + groupBytesOf<W>(); codes < end; codes += PANEL_ROW, at += 8 * sizeof<X>()) {
    a = dots<X, W>(a, codes, x + at);
    b = dots<X, W>(b, codes, x1 + at);
    c = dots<X, W>(c, codes, x2 + at);
    d = dots<X, W>(d, codes, x3 + at);
  }
  v128.store(y, scaled(wholeOf<X, W>(a, w, load<i32>(x, 4)), weights, v128.load32_splat(x), v128.load(sums)));
  sums += sumsBytes;
  y += yBytes;
  v128.store(y, scaled(wholeOf<X, W>(b, w, load<i32>(x1, 4)), weights, v128.load32_splat(x1), v128.load(sums)));
  sums += sumsBytes;
  y += yBytes;
  v128.store(y, scaled(wholeOf<X, W>(c, w, load<i32>(x2, 4)), weights, v128.load32_splat(x2), v128.load(sums)));
  sums += sumsBytes;
  y += yBytes;
  v128.store(y, scaled(wholeOf<X, W>(d, w, load<i32>(x3, 4)), weights, v128.load32_splat(x3), v128.load(sums)));
}

/** A group's whole numbers of four outputs from their sums: without what the codes of the weights are too large, times the sum of the codes of x. */
function wholeOf<X, W>(sums: v128, w: usize, sum: i32): v128 {
  const whole = ASC_FEATURE_RELAXED_SIMD && sizeof<X>() == 1 ? i32x4.dot_i16x8_s(sums, i16x8.splat(1)) : sums;
  if (isSigned<W>()) return i32x4.sub(whole, i32x4.splat(8 * sum));
  return i32x4.sub(whole, i32x4.mul(i32x4.trunc_sat_f32x4_s(v128.load(w, 64)), i32x4.splat(sum)));
}

/** Eight codes of four outputs, from 0 on. */
function codesAt<W>(w: usize): v128 {
  const words = v128.load(w);
  return isSigned<W>() ? v128.xor(words, i32x4.splat(0x88888888)) : words;
}

/** sums + eight codes · eight codes, of four outputs. */
function dots<X, W>(sums: v128, w: usize, x: usize): v128 {
  const k = v128.load32_splat(x);
  const l = v128.load32_splat(x, 4);
  if (ASC_FEATURE_RELAXED_SIMD && sizeof<X>() == 1) return byteDots(sums, codesAt<W>(w), k, l);
  return pairDots(sums, codesAt<W>(w), k, l, v128.load32_splat(x, 8), v128.load32_splat(x, 12));
}

/** Codes 0, 2, 4, 6 of each word times k, the others times l: bytes, whose sums of a whole group of products of at most 15 · 127 have 16 bits. */
function byteDots(sums: v128, codes: v128, k: v128, l: v128): v128 {
  const mask = i32x4.splat(0x0f0f0f0f);
  const even = i16x8.relaxed_dot_i8x16_i7x16_s(k, v128.and(codes, mask));
  const odd = i16x8.relaxed_dot_i8x16_i7x16_s(l, v128.and(i32x4.shr_u(codes, 4), mask));
  return i16x8.add(sums, i16x8.add(even, odd));
}

/** Codes 0 and 4 of each word times k, 1 and 5 times l, …: pairs of 16 bits. */
function pairDots(sums: v128, codes: v128, k: v128, l: v128, m: v128, n: v128): v128 {
  const mask = i32x4.splat(0x000f000f);
  const first = i32x4.add(
    i32x4.dot_i16x8_s(v128.and(codes, mask), k),
    i32x4.dot_i16x8_s(v128.and(i32x4.shr_u(codes, 4), mask), l),
  );
  const second = i32x4.add(
    i32x4.dot_i16x8_s(v128.and(i32x4.shr_u(codes, 8), mask), m),
    i32x4.dot_i16x8_s(v128.and(i32x4.shr_u(codes, 12), mask), n),
  );
  return i32x4.add(sums, i32x4.add(first, second));
}

/** sums + a group's whole number · scales of weights · scale of x. */
function scaled(whole: v128, weights: v128, x: v128, sums: v128): v128 {
  return madd(f32x4.convert_i32x4_s(whole), f32x4.mul(weights, x), sums);
}
