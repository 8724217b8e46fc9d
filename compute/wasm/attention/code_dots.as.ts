/**
 * Dot products of rows of i16 with the columns of a panel, [pair][16] or [pair][4] pairs: to[row][column] = Σ x[row][i] · panel[i][column], whole numbers that don't
 * pass 32 bits. T: elements of the panel, u8 or i16.
 */
import { tileRows } from '../linear/tile_rows.as';

/** Sixteen columns, of k pairs. Rows begin every `apart` bytes, pairs of the panel every `step`, rows of `to` every `toApart`. */
export function codeDots16<T>(
  x: usize,
  apart: usize,
  numRows: i32,
  panel: usize,
  step: usize,
  k: i32,
  to: usize,
  toApart: usize,
): void {
  if (tileRows >= 4)
    for (; numRows >= 4; numRows -= 4, x += 4 * apart, to += 4 * toApart)
      codeDots4x16<T>(x, apart, panel, step, k, to, toApart);
  for (; numRows >= 2; numRows -= 2, x += 2 * apart, to += 2 * toApart)
    codeDots2x16<T>(x, apart, panel, step, k, to, toApart);
  if (numRows > 0) codeDots1x16<T>(x, panel, step, k, to);
}

/** Four columns. */
export function codeDots4<T>(
  x: usize,
  apart: usize,
  numRows: i32,
  panel: usize,
  step: usize,
  k: i32,
  to: usize,
  toApart: usize,
): void {
  for (; numRows >= 4; numRows -= 4, x += 4 * apart, to += 4 * toApart)
    codeDots4x4<T>(x, apart, panel, step, k, to, toApart);
  for (; numRows > 0; numRows--, x += apart, to += toApart) codeDots1x4<T>(x, panel, step, k, to);
}

function codeDots4x16<T>(x: usize, apart: usize, panel: usize, step: usize, k: i32, to: usize, toApart: usize): void {
  let x1 = x + apart;
  let x2 = x + 2 * apart;
  let x3 = x + 3 * apart;
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let c0 = a0;
  let c1 = a0;
  let c2 = a0;
  let c3 = a0;
  let d0 = a0;
  let d1 = a0;
  let d2 = a0;
  let d3 = a0;
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = pairs<T>(panel);
    const p1 = secondPairs<T>(panel);
    const p2 = thirdPairs<T>(panel);
    const p3 = fourthPairs<T>(panel);
    panel += step;
    let pair = v128.load32_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, p0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(pair, p1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(pair, p2));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(pair, p3));
    pair = v128.load32_splat(x1);
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(pair, p0));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(pair, p1));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(pair, p2));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(pair, p3));
    pair = v128.load32_splat(x2);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(pair, p0));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(pair, p1));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(pair, p2));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(pair, p3));
    pair = v128.load32_splat(x3);
    d0 = i32x4.add(d0, i32x4.dot_i16x8_s(pair, p0));
    d1 = i32x4.add(d1, i32x4.dot_i16x8_s(pair, p1));
    d2 = i32x4.add(d2, i32x4.dot_i16x8_s(pair, p2));
    d3 = i32x4.add(d3, i32x4.dot_i16x8_s(pair, p3));
    x1 += 4;
    x2 += 4;
    x3 += 4;
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, a2, 32);
  v128.store(to, a3, 48);
  to += toApart;
  v128.store(to, b0);
  v128.store(to, b1, 16);
  v128.store(to, b2, 32);
  v128.store(to, b3, 48);
  to += toApart;
  v128.store(to, c0);
  v128.store(to, c1, 16);
  v128.store(to, c2, 32);
  v128.store(to, c3, 48);
  to += toApart;
  v128.store(to, d0);
  v128.store(to, d1, 16);
  v128.store(to, d2, 32);
  v128.store(to, d3, 48);
}

function codeDots2x16<T>(x: usize, apart: usize, panel: usize, step: usize, k: i32, to: usize, toApart: usize): void {
  let x1 = x + apart;
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = pairs<T>(panel);
    const p1 = secondPairs<T>(panel);
    const p2 = thirdPairs<T>(panel);
    const p3 = fourthPairs<T>(panel);
    panel += step;
    let pair = v128.load32_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, p0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(pair, p1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(pair, p2));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(pair, p3));
    pair = v128.load32_splat(x1);
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(pair, p0));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(pair, p1));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(pair, p2));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(pair, p3));
    x1 += 4;
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, a2, 32);
  v128.store(to, a3, 48);
  to += toApart;
  v128.store(to, b0);
  v128.store(to, b1, 16);
  v128.store(to, b2, 32);
  v128.store(to, b3, 48);
}

function codeDots1x16<T>(x: usize, panel: usize, step: usize, k: i32, to: usize): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = pairs<T>(panel);
    const p1 = secondPairs<T>(panel);
    const p2 = thirdPairs<T>(panel);
    const p3 = fourthPairs<T>(panel);
    panel += step;
    const pair = v128.load32_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, p0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(pair, p1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(pair, p2));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(pair, p3));
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, a2, 32);
  v128.store(to, a3, 48);
}

function codeDots4x4<T>(x: usize, apart: usize, panel: usize, step: usize, k: i32, to: usize, toApart: usize): void {
  let x1 = x + apart;
  let x2 = x + 2 * apart;
  let x3 = x + 3 * apart;
  let a0 = i32x4.splat(0);
  let b0 = a0;
  let c0 = a0;
  let d0 = a0;
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = pairs<T>(panel);
    panel += step;
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(v128.load32_splat(x), p0));
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(v128.load32_splat(x1), p0));
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(v128.load32_splat(x2), p0));
    d0 = i32x4.add(d0, i32x4.dot_i16x8_s(v128.load32_splat(x3), p0));
    x1 += 4;
    x2 += 4;
    x3 += 4;
  }
  v128.store(to, a0);
  to += toApart;
  v128.store(to, b0);
  to += toApart;
  v128.store(to, c0);
  to += toApart;
  v128.store(to, d0);
}

function codeDots1x4<T>(x: usize, panel: usize, step: usize, k: i32, to: usize): void {
  let a0 = i32x4.splat(0);
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = pairs<T>(panel);
    panel += step;
    const pair = v128.load32_splat(x);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, p0));
  }
  v128.store(to, a0);
}

/** Four pairs of a panel as i16. */
function pairs<T>(panel: usize): v128 {
  return sizeof<T>() == 1 ? v128.load8x8_u(panel) : v128.load(panel);
}

function secondPairs<T>(panel: usize): v128 {
  return sizeof<T>() == 1 ? v128.load8x8_u(panel, 8) : v128.load(panel, 16);
}

function thirdPairs<T>(panel: usize): v128 {
  return sizeof<T>() == 1 ? v128.load8x8_u(panel, 16) : v128.load(panel, 32);
}

function fourthPairs<T>(panel: usize): v128 {
  return sizeof<T>() == 1 ? v128.load8x8_u(panel, 24) : v128.load(panel, 48);
}
