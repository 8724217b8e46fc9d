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

/** A row of x times `numPanels` panels, `apart` bytes from each other: added to what is at `sums`, to `y`. end: of the row of x. The accumulators lie in `y`. */
export function int8Tile1<X>(
  x: usize,
  end: usize,
  w: usize,
  apart: usize,
  numPanels: i32,
  sums: usize,
  y: usize,
): void {
  const width = <usize>numPanels * PANEL_ROW;
  while (x < end) {
    let panel = w;
    for (let at: usize = 0; at < width; at += PANEL_ROW, panel += apart) group1<X>(x, panel, sums + at, y + at);
    sums = y;
    x += X_GROUP;
    w += PANEL_GROUP;
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

/** Two rows of x, xBytes apart, times a panel: added to what is at `sums`, to `y`. Rows of sums and of y are sumsBytes and yBytes apart. end: of the first row of x. */
export function int8Tile2x16<X>(
  x: usize,
  xBytes: usize,
  end: usize,
  w: usize,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  let x1 = x + xBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  sums += sumsBytes;
  let b0 = v128.load(sums);
  let b1 = v128.load(sums, 16);
  let b2 = v128.load(sums, 32);
  let b3 = v128.load(sums, 48);
  while (x < end) {
    const s0 = v128.load(w);
    const s1 = v128.load(w, 16);
    const s2 = v128.load(w, 32);
    const s3 = v128.load(w, 48);
    w += 64;
    const p = v128.load32_splat(x);
    const start0 = startOf<X>(x);
    const q = v128.load32_splat(x1);
    const start1 = startOf<X>(x1);
    x += X_HEAD;
    x1 += X_HEAD;
    let e0 = start0;
    let e1 = start0;
    let e2 = start0;
    let e3 = start0;
    let f0 = start1;
    let f1 = start1;
    let f2 = start1;
    let f3 = start1;
    for (const last = x + 2 * ROW_ALIGN; x < last; x += 8) {
      const m0 = v128.load(w);
      const m1 = v128.load(w, 16);
      const m2 = v128.load(w, 32);
      const m3 = v128.load(w, 48);
      let k = v128.load32_splat(x);
      let l = v128.load32_splat(x, 4);
      e0 = dot(dot(e0, even<X>(m0), k), odd(m0), l);
      e1 = dot(dot(e1, even<X>(m1), k), odd(m1), l);
      e2 = dot(dot(e2, even<X>(m2), k), odd(m2), l);
      e3 = dot(dot(e3, even<X>(m3), k), odd(m3), l);
      k = v128.load32_splat(x1);
      l = v128.load32_splat(x1, 4);
      f0 = dot(dot(f0, even<X>(m0), k), odd(m0), l);
      f1 = dot(dot(f1, even<X>(m1), k), odd(m1), l);
      f2 = dot(dot(f2, even<X>(m2), k), odd(m2), l);
      f3 = dot(dot(f3, even<X>(m3), k), odd(m3), l);
      x1 += 8;
      w += 64;
    }
    a0 = scaled(e0, s0, p, a0);
    a1 = scaled(e1, s1, p, a1);
    a2 = scaled(e2, s2, p, a2);
    a3 = scaled(e3, s3, p, a3);
    b0 = scaled(f0, s0, q, b0);
    b1 = scaled(f1, s1, q, b1);
    b2 = scaled(f2, s2, q, b2);
    b3 = scaled(f3, s3, q, b3);
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  y += yBytes;
  v128.store(y, b0);
  v128.store(y, b1, 16);
  v128.store(y, b2, 32);
  v128.store(y, b3, 48);
}

/** Four rows of x, xBytes apart, times a panel: added to what is at `sums`, to `y`. Rows of sums and of y are sumsBytes and yBytes apart. end: of the first row of x. */
export function int8Tile4x16<X>(
  x: usize,
  xBytes: usize,
  end: usize,
  w: usize,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  let x1 = x + xBytes;
  let x2 = x1 + xBytes;
  let x3 = x2 + xBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  sums += sumsBytes;
  let b0 = v128.load(sums);
  let b1 = v128.load(sums, 16);
  let b2 = v128.load(sums, 32);
  let b3 = v128.load(sums, 48);
  sums += sumsBytes;
  let c0 = v128.load(sums);
  let c1 = v128.load(sums, 16);
  let c2 = v128.load(sums, 32);
  let c3 = v128.load(sums, 48);
  sums += sumsBytes;
  let d0 = v128.load(sums);
  let d1 = v128.load(sums, 16);
  let d2 = v128.load(sums, 32);
  let d3 = v128.load(sums, 48);
  while (x < end) {
    const s0 = v128.load(w);
    const s1 = v128.load(w, 16);
    const s2 = v128.load(w, 32);
    const s3 = v128.load(w, 48);
    w += 64;
    const p = v128.load32_splat(x);
    const start0 = startOf<X>(x);
    const q = v128.load32_splat(x1);
    const start1 = startOf<X>(x1);
    const r = v128.load32_splat(x2);
    const start2 = startOf<X>(x2);
    const z = v128.load32_splat(x3);
    const start3 = startOf<X>(x3);
    x += X_HEAD;
    x1 += X_HEAD;
    x2 += X_HEAD;
    x3 += X_HEAD;
    let e0 = start0;
    let e1 = start0;
    let e2 = start0;
    let e3 = start0;
    let f0 = start1;
    let f1 = start1;
    let f2 = start1;
    let f3 = start1;
    let g0 = start2;
    let g1 = start2;
    let g2 = start2;
    let g3 = start2;
    let h0 = start3;
    let h1 = start3;
    let h2 = start3;
    let h3 = start3;
    for (const last = x + 2 * ROW_ALIGN; x < last; x += 8) {
      const m0 = v128.load(w);
      const m1 = v128.load(w, 16);
      const m2 = v128.load(w, 32);
      const m3 = v128.load(w, 48);
      let k = v128.load32_splat(x);
      let l = v128.load32_splat(x, 4);
      e0 = dot(dot(e0, even<X>(m0), k), odd(m0), l);
      e1 = dot(dot(e1, even<X>(m1), k), odd(m1), l);
      e2 = dot(dot(e2, even<X>(m2), k), odd(m2), l);
      e3 = dot(dot(e3, even<X>(m3), k), odd(m3), l);
      k = v128.load32_splat(x1);
      l = v128.load32_splat(x1, 4);
      f0 = dot(dot(f0, even<X>(m0), k), odd(m0), l);
      f1 = dot(dot(f1, even<X>(m1), k), odd(m1), l);
      f2 = dot(dot(f2, even<X>(m2), k), odd(m2), l);
      f3 = dot(dot(f3, even<X>(m3), k), odd(m3), l);
      x1 += 8;
      k = v128.load32_splat(x2);
      l = v128.load32_splat(x2, 4);
      g0 = dot(dot(g0, even<X>(m0), k), odd(m0), l);
      g1 = dot(dot(g1, even<X>(m1), k), odd(m1), l);
      g2 = dot(dot(g2, even<X>(m2), k), odd(m2), l);
      g3 = dot(dot(g3, even<X>(m3), k), odd(m3), l);
      x2 += 8;
      k = v128.load32_splat(x3);
      l = v128.load32_splat(x3, 4);
      h0 = dot(dot(h0, even<X>(m0), k), odd(m0), l);
      h1 = dot(dot(h1, even<X>(m1), k), odd(m1), l);
      h2 = dot(dot(h2, even<X>(m2), k), odd(m2), l);
      h3 = dot(dot(h3, even<X>(m3), k), odd(m3), l);
      x3 += 8;
      w += 64;
    }
    a0 = scaled(e0, s0, p, a0);
    a1 = scaled(e1, s1, p, a1);
    a2 = scaled(e2, s2, p, a2);
    a3 = scaled(e3, s3, p, a3);
    b0 = scaled(f0, s0, q, b0);
    b1 = scaled(f1, s1, q, b1);
    b2 = scaled(f2, s2, q, b2);
    b3 = scaled(f3, s3, q, b3);
    c0 = scaled(g0, s0, r, c0);
    c1 = scaled(g1, s1, r, c1);
    c2 = scaled(g2, s2, r, c2);
    c3 = scaled(g3, s3, r, c3);
    d0 = scaled(h0, s0, z, d0);
    d1 = scaled(h1, s1, z, d1);
    d2 = scaled(h2, s2, z, d2);
    d3 = scaled(h3, s3, z, d3);
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  y += yBytes;
  v128.store(y, b0);
  v128.store(y, b1, 16);
  v128.store(y, b2, 32);
  v128.store(y, b3, 48);
  y += yBytes;
  v128.store(y, c0);
  v128.store(y, c1, 16);
  v128.store(y, c2, 32);
  v128.store(y, c3, 48);
  y += yBytes;
  v128.store(y, d0);
  v128.store(y, d1, 16);
  v128.store(y, d2, 32);
  v128.store(y, d3, 48);
}
