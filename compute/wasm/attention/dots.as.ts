/**
 * Dot products of rows with the columns of a panel [k][16] or [k][4]: to[row][column] = Σ x[row][i] · panel[i][column], one accumulator each over ascending i. Loads
 * and stores are neighbours, so that two vectors become one of 256 bits where there are such; what a tile's height is changes no bits.
 * T: elements of the panel, f32, or u16 for bf16.
 * Why: docs/decisions/kernels.md#attention-in-panels
 */
import { madd } from '../linear/math.as';
import { four, fourthFour, secondFour, thirdFour } from './panels.as';
import { tileRows } from '../linear/tile_rows.as';

/** Sixteen columns. Rows begin every `apart` bytes, the panel's every `step`, those of `to` every `toApart`. */
export function dots16<T>(
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
      dots4x16<T>(x, apart, panel, step, k, to, toApart);
  for (; numRows >= 2; numRows -= 2, x += 2 * apart, to += 2 * toApart)
    dots2x16<T>(x, apart, panel, step, k, to, toApart);
  if (numRows > 0) dots1x16<T>(x, panel, step, k, to);
}

/** Four columns. */
export function dots4<T>(
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
    dots4x4<T>(x, apart, panel, step, k, to, toApart);
  for (; numRows > 0; numRows--, x += apart, to += toApart) dots1x4<T>(x, panel, step, k, to);
}

function dots4x16<T>(x: usize, apart: usize, panel: usize, step: usize, k: i32, to: usize, toApart: usize): void {
  let x1 = x + apart;
  let x2 = x + 2 * apart;
  let x3 = x + 3 * apart;
  let a0 = f32x4.splat(0);
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
    const p0 = four<T>(panel);
    const p1 = secondFour<T>(panel);
    const p2 = thirdFour<T>(panel);
    const p3 = fourthFour<T>(panel);
    panel += step;
    let factor = v128.load32_splat(x);
    a0 = madd(factor, p0, a0);
    a1 = madd(factor, p1, a1);
    a2 = madd(factor, p2, a2);
    a3 = madd(factor, p3, a3);
    factor = v128.load32_splat(x1);
    b0 = madd(factor, p0, b0);
    b1 = madd(factor, p1, b1);
    b2 = madd(factor, p2, b2);
    b3 = madd(factor, p3, b3);
    factor = v128.load32_splat(x2);
    c0 = madd(factor, p0, c0);
    c1 = madd(factor, p1, c1);
    c2 = madd(factor, p2, c2);
    c3 = madd(factor, p3, c3);
    factor = v128.load32_splat(x3);
    d0 = madd(factor, p0, d0);
    d1 = madd(factor, p1, d1);
    d2 = madd(factor, p2, d2);
    d3 = madd(factor, p3, d3);
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

function dots2x16<T>(x: usize, apart: usize, panel: usize, step: usize, k: i32, to: usize, toApart: usize): void {
  let x1 = x + apart;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = four<T>(panel);
    const p1 = secondFour<T>(panel);
    const p2 = thirdFour<T>(panel);
    const p3 = fourthFour<T>(panel);
    panel += step;
    let factor = v128.load32_splat(x);
    a0 = madd(factor, p0, a0);
    a1 = madd(factor, p1, a1);
    a2 = madd(factor, p2, a2);
    a3 = madd(factor, p3, a3);
    factor = v128.load32_splat(x1);
    b0 = madd(factor, p0, b0);
    b1 = madd(factor, p1, b1);
    b2 = madd(factor, p2, b2);
    b3 = madd(factor, p3, b3);
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

function dots1x16<T>(x: usize, panel: usize, step: usize, k: i32, to: usize): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = four<T>(panel);
    const p1 = secondFour<T>(panel);
    const p2 = thirdFour<T>(panel);
    const p3 = fourthFour<T>(panel);
    panel += step;
    const factor = v128.load32_splat(x);
    a0 = madd(factor, p0, a0);
    a1 = madd(factor, p1, a1);
    a2 = madd(factor, p2, a2);
    a3 = madd(factor, p3, a3);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, a2, 32);
  v128.store(to, a3, 48);
}

function dots4x4<T>(x: usize, apart: usize, panel: usize, step: usize, k: i32, to: usize, toApart: usize): void {
  let x1 = x + apart;
  let x2 = x + 2 * apart;
  let x3 = x + 3 * apart;
  let a0 = f32x4.splat(0);
  let b0 = a0;
  let c0 = a0;
  let d0 = a0;
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = four<T>(panel);
    panel += step;
    let factor = v128.load32_splat(x);
    a0 = madd(factor, p0, a0);
    factor = v128.load32_splat(x1);
    b0 = madd(factor, p0, b0);
    factor = v128.load32_splat(x2);
    c0 = madd(factor, p0, c0);
    factor = v128.load32_splat(x3);
    d0 = madd(factor, p0, d0);
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

function dots1x4<T>(x: usize, panel: usize, step: usize, k: i32, to: usize): void {
  let a0 = f32x4.splat(0);
  for (const end = x + ((<usize>k) << 2); x < end; x += 4) {
    const p0 = four<T>(panel);
    panel += step;
    const factor = v128.load32_splat(x);
    a0 = madd(factor, p0, a0);
  }
  v128.store(to, a0);
}
