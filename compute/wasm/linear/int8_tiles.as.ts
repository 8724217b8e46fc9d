/**
 * Products of rows of int8 codes with int8 panels: whole numbers within a group, then its sum times both scales, added to an output's one accumulator in ascending order
 * of groups, whatever the tile.
 *
 * Rows of x: per group of 32 inputs a float32 scale and the sum of the first and third codes of each four, then codes as i16, of each four the first and the third, then the second
 * and the fourth: the pairs of neighbouring 16 bits that are left of a word of weights when its even or odd bytes are spread (whole_linear.as.ts).
 *
 * X: i16 or i8, what codes of x are. Those of 8 bits take weights two at a time: 16 bits of a word are a + 256 · b, which need no spreading. They are multiplied with the
 * first's code, and b with the second's less 256 times the first's, which 16 bits hold. With its sign bit flipped a is 0 … 255, which is 128 too large: that, times the sum, is
 * taken away at the start.
 * Why: docs/decisions/kernels.md#activations-in-whole-numbers
 */
import { PANEL_ROW, ROW_ALIGN } from '../memory/memory.as';
import { madd } from './math.as';

/** Bytes before the codes of a group of x: its scale, and a sum of its codes. */
export const X_HEAD: usize = 8;
/** Bytes of a group of a panel. */
const PANEL_GROUP: usize = PANEL_ROW + <usize>(ROW_ALIGN / 4) * PANEL_ROW;
/** Bytes of a group of x. */
export const X_GROUP: usize = X_HEAD + 2 * ROW_ALIGN;

/** What is multiplied with the first and third code of each word of x: see above. */
function even<X>(words: v128): v128 {
  if (sizeof<X>() == 1) return v128.xor(words, i32x4.splat(0x00800080));
  return i16x8.shr_s(i16x8.shl(words, 8), 8);
}

/** The second and fourth code of each word, as i16. */
function odd(words: v128): v128 {
  return i16x8.shr_s(words, 8);
}

/** A group's sums before its first product. */
function startOf<X>(x: usize): v128 {
  return i32x4.splat(sizeof<X>() == 1 ? -128 * load<i32>(x, 4) : 0);
}

/** sums + first · second over pairs of i16. */
function dot(sums: v128, a: v128, b: v128): v128 {
  return i32x4.add(sums, i32x4.dot_i16x8_s(a, b));
}

/** sums + a group's whole number · scales of weights · scale of x. */
function scaled(whole: v128, weights: v128, x: v128, sums: v128): v128 {
  return madd(f32x4.convert_i32x4_s(whole), f32x4.mul(weights, x), sums);
}

/**
 * Rows of x, xBytes apart, times `numPanels` panels, `apart` bytes from each other: added to what is at `sums`, to `y`. Rows of sums and of y are sumsBytes and yBytes apart.
 * Panels go through group by group: each is one stream, and their accumulators lie in `y`.
 */
export function int8Panels<X>(
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
    tile<X>(4, x, xBytes, w, apart, numPanels, sums, sumsBytes, y, yBytes);
    x += 4 * xBytes;
    sums += 4 * sumsBytes;
    y += 4 * yBytes;
  }
  for (; numRows >= 2; numRows -= 2) {
    tile<X>(2, x, xBytes, w, apart, numPanels, sums, sumsBytes, y, yBytes);
    x += 2 * xBytes;
    sums += 2 * sumsBytes;
    y += 2 * yBytes;
  }
  if (numRows == 1) row<X>(x, x + xBytes, w, apart, numPanels, sums, y);
}

/** The same of one row, up to `end`. */
function row<X>(x: usize, end: usize, w: usize, apart: usize, numPanels: i32, sums: usize, y: usize): void {
  const width = <usize>numPanels * PANEL_ROW;
  while (x < end) {
    let panel = w;
    for (let at: usize = 0; at < width; at += PANEL_ROW, panel += apart) group1<X>(x, panel, sums + at, y + at);
    sums = y;
    x += X_GROUP;
    w += PANEL_GROUP;
  }
}

/** The same of 2 or 4 rows. */
function tile<X>(
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
  for (const end = x + xBytes; x < end; x += X_GROUP, w += PANEL_GROUP) {
    let panel = w;
    for (let at: usize = 0; at < width; at += PANEL_ROW, panel += apart) {
      if (numRows == 4) group4<X>(x, xBytes, panel, sums + at, sumsBytes, y + at, yBytes);
      else group2<X>(x, x + xBytes, panel, sums + at, sumsBytes, y + at, yBytes);
    }
    sums = y;
    sumsBytes = yBytes;
  }
}

/** A group of a row times that of a panel. */
function group1<X>(x: usize, w: usize, sums: usize, y: usize): void {
  const scale = v128.load32_splat(x);
  let a = startOf<X>(x);
  let b = a;
  let c = a;
  let d = a;
  let codes = w + PANEL_ROW;
  let at = x + X_HEAD;
  for (const end = w + PANEL_GROUP; codes < end; codes += PANEL_ROW, at += 8) {
    const k = v128.load32_splat(at);
    const l = v128.load32_splat(at, 4);
    const m0 = v128.load(codes);
    const m1 = v128.load(codes, 16);
    const m2 = v128.load(codes, 32);
    const m3 = v128.load(codes, 48);
    a = dot(dot(a, even<X>(m0), k), odd(m0), l);
    b = dot(dot(b, even<X>(m1), k), odd(m1), l);
    c = dot(dot(c, even<X>(m2), k), odd(m2), l);
    d = dot(dot(d, even<X>(m3), k), odd(m3), l);
  }
  v128.store(y, scaled(a, v128.load(w), scale, v128.load(sums)));
  v128.store(y, scaled(b, v128.load(w, 16), scale, v128.load(sums, 16)), 16);
  v128.store(y, scaled(c, v128.load(w, 32), scale, v128.load(sums, 32)), 32);
  v128.store(y, scaled(d, v128.load(w, 48), scale, v128.load(sums, 48)), 48);
}

/** Groups of two rows. */
function group2<X>(x: usize, x1: usize, w: usize, sums: usize, sumsBytes: usize, y: usize, yBytes: usize): void {
  for (let at: usize = 0; at < PANEL_ROW; at += 32) half2<X>(x, x1, w + at, sums + at, sumsBytes, y + at, yBytes);
}

/** Two rows and eight outputs of a panel. */
function half2<X>(x: usize, x1: usize, w: usize, sums: usize, sumsBytes: usize, y: usize, yBytes: usize): void {
  let a = startOf<X>(x);
  let b = a;
  let c = startOf<X>(x1);
  let d = c;
  let at = X_HEAD;
  let codes = w + PANEL_ROW;
  for (const end = w + PANEL_GROUP; codes < end; codes += PANEL_ROW, at += 8) {
    const m = v128.load(codes);
    const n = v128.load(codes, 16);
    const k = v128.load32_splat(x + at);
    const l = v128.load32_splat(x + at, 4);
    a = dot(dot(a, even<X>(m), k), odd(m), l);
    b = dot(dot(b, even<X>(n), k), odd(n), l);
    const k1 = v128.load32_splat(x1 + at);
    const l1 = v128.load32_splat(x1 + at, 4);
    c = dot(dot(c, even<X>(m), k1), odd(m), l1);
    d = dot(dot(d, even<X>(n), k1), odd(n), l1);
  }
  const scale = v128.load32_splat(x);
  const scale1 = v128.load32_splat(x1);
  v128.store(y, scaled(a, v128.load(w), scale, v128.load(sums)));
  v128.store(y, scaled(b, v128.load(w, 16), scale, v128.load(sums, 16)), 16);
  sums += sumsBytes;
  y += yBytes;
  v128.store(y, scaled(c, v128.load(w), scale1, v128.load(sums)));
  v128.store(y, scaled(d, v128.load(w, 16), scale1, v128.load(sums, 16)), 16);
}

/** Groups of four rows. */
function group4<X>(x: usize, xBytes: usize, w: usize, sums: usize, sumsBytes: usize, y: usize, yBytes: usize): void {
  for (let at: usize = 0; at < PANEL_ROW; at += 16)
    quarter4<X>(x, xBytes, w + at, sums + at, sumsBytes, y + at, yBytes);
}

/** Four rows and four outputs of a panel. */
function quarter4<X>(x: usize, xBytes: usize, w: usize, sums: usize, sumsBytes: usize, y: usize, yBytes: usize): void {
  const x1 = x + xBytes;
  const x2 = x1 + xBytes;
  const x3 = x2 + xBytes;
  let a = startOf<X>(x);
  let b = startOf<X>(x1);
  let c = startOf<X>(x2);
  let d = startOf<X>(x3);
  let at = X_HEAD;
  let codes = w + PANEL_ROW;
  for (const end = w + PANEL_GROUP; codes < end; codes += PANEL_ROW, at += 8) {
    const m = v128.load(codes);
    const e = even<X>(m);
    const o = odd(m);
    a = dot(dot(a, e, v128.load32_splat(x + at)), o, v128.load32_splat(x + at, 4));
    b = dot(dot(b, e, v128.load32_splat(x1 + at)), o, v128.load32_splat(x1 + at, 4));
    c = dot(dot(c, e, v128.load32_splat(x2 + at)), o, v128.load32_splat(x2 + at, 4));
    d = dot(dot(d, e, v128.load32_splat(x3 + at)), o, v128.load32_splat(x3 + at, 4));
  }
  const weights = v128.load(w);
  v128.store(y, scaled(a, weights, v128.load32_splat(x), v128.load(sums)));
  sums += sumsBytes;
  y += yBytes;
  v128.store(y, scaled(b, weights, v128.load32_splat(x1), v128.load(sums)));
  sums += sumsBytes;
  y += yBytes;
  v128.store(y, scaled(c, weights, v128.load32_splat(x2), v128.load(sums)));
  sums += sumsBytes;
  y += yBytes;
  v128.store(y, scaled(d, weights, v128.load32_splat(x3), v128.load(sums)));
}
