/** y = x·W over resident matrices, for x as wide as W has rows: sums over W's rows, in their order, whatever the number of rows of x. */
import { BF16, F32, Matrix } from '../memory/memory.as';

/**
 * x: numRows rows of W.rows floats, every xStride floats. y: numRows rows of `width` floats, every yStride floats; `width` is a multiple of 4 up to W.stride.
 */
export function linearTransposed(
  x: usize,
  numRows: i32,
  xStride: i32,
  weight: usize,
  y: usize,
  yStride: i32,
  width: i32,
): void {
  const w = changetype<Matrix>(weight);
  if (w.dtype == F32) columns<f32>(x, numRows, xStride, w, y, yStride, width);
  else if (w.dtype == BF16) columns<u16>(x, numRows, xStride, w, y, yStride, width);
  else columns<i8>(x, numRows, xStride, w, y, yStride, width);
}

/** T: the weights' element type. Sixteen columns at once, of two rows where there are two. */
function columns<T>(x: usize, numRows: i32, xStride: i32, w: Matrix, y: usize, yStride: i32, width: i32): void {
  const xBytes: usize = (<usize>xStride) << 2;
  const yBytes: usize = (<usize>yStride) << 2;
  for (let column = 0; column < width; column += 16) {
    let from = x;
    let to = y + ((<usize>column) << 2);
    let row = 0;
    if (column + 16 <= width) {
      for (; row + 2 <= numRows; row += 2, from += 2 * xBytes, to += 2 * yBytes)
        tile2x16<T>(from, from + xBytes, w, column, to, to + yBytes);
    }
    for (; row < numRows; row++, from += xBytes, to += yBytes) {
      if (column + 16 <= width) tile1x16<T>(from, w, column, to);
      else
        for (let rest = column; rest < width; rest += 4)
          tile1x4<T>(from, w, rest, to + ((<usize>(rest - column)) << 2));
    }
  }
}

function tile2x16<T>(a: usize, b: usize, w: Matrix, column: i32, toA: usize, toB: usize): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let code = w.data + <usize>column * sizeof<T>();
  let scale = w.scales + (((<usize>column) >> 5) << 2);
  for (const end = a + ((<usize>w.rows) << 2); a < end; a += 4, b += 4) {
    const scales = scalesOf<T>(scale);
    const v0 = valuesOf<T>(code, scales);
    const v1 = valuesOf<T>(code + 4 * sizeof<T>(), scales);
    const v2 = valuesOf<T>(code + 8 * sizeof<T>(), scales);
    const v3 = valuesOf<T>(code + 12 * sizeof<T>(), scales);
    let factor = v128.load32_splat(a);
    a0 = f32x4.add(a0, f32x4.mul(factor, v0));
    a1 = f32x4.add(a1, f32x4.mul(factor, v1));
    a2 = f32x4.add(a2, f32x4.mul(factor, v2));
    a3 = f32x4.add(a3, f32x4.mul(factor, v3));
    factor = v128.load32_splat(b);
    b0 = f32x4.add(b0, f32x4.mul(factor, v0));
    b1 = f32x4.add(b1, f32x4.mul(factor, v1));
    b2 = f32x4.add(b2, f32x4.mul(factor, v2));
    b3 = f32x4.add(b3, f32x4.mul(factor, v3));
    code += <usize>w.stride * sizeof<T>();
    scale += (<usize>w.stride) >> 3;
  }
  v128.store(toA, a0);
  v128.store(toA, a1, 16);
  v128.store(toA, a2, 32);
  v128.store(toA, a3, 48);
  v128.store(toB, b0);
  v128.store(toB, b1, 16);
  v128.store(toB, b2, 32);
  v128.store(toB, b3, 48);
}

function tile1x16<T>(x: usize, w: Matrix, column: i32, to: usize): void {
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let code = w.data + <usize>column * sizeof<T>();
  let scale = w.scales + (((<usize>column) >> 5) << 2);
  for (const end = x + ((<usize>w.rows) << 2); x < end; x += 4) {
    const scales = scalesOf<T>(scale);
    const factor = v128.load32_splat(x);
    s0 = f32x4.add(s0, f32x4.mul(factor, valuesOf<T>(code, scales)));
    s1 = f32x4.add(s1, f32x4.mul(factor, valuesOf<T>(code + 4 * sizeof<T>(), scales)));
    s2 = f32x4.add(s2, f32x4.mul(factor, valuesOf<T>(code + 8 * sizeof<T>(), scales)));
    s3 = f32x4.add(s3, f32x4.mul(factor, valuesOf<T>(code + 12 * sizeof<T>(), scales)));
    code += <usize>w.stride * sizeof<T>();
    scale += (<usize>w.stride) >> 3;
  }
  v128.store(to, s0);
  v128.store(to, s1, 16);
  v128.store(to, s2, 32);
  v128.store(to, s3, 48);
}

function tile1x4<T>(x: usize, w: Matrix, column: i32, to: usize): void {
  let sum = f32x4.splat(0);
  let code = w.data + <usize>column * sizeof<T>();
  let scale = w.scales + (((<usize>column) >> 5) << 2);
  for (const end = x + ((<usize>w.rows) << 2); x < end; x += 4) {
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x), valuesOf<T>(code, scalesOf<T>(scale))));
    code += <usize>w.stride * sizeof<T>();
    scale += (<usize>w.stride) >> 3;
  }
  v128.store(to, sum);
}

/** int8 codes have a scale per ROW_ALIGN of a row; others none. */
function scalesOf<T>(scale: usize): v128 {
  return sizeof<T>() == 1 ? v128.load32_splat(scale) : f32x4.splat(0);
}

/** Four weights as floats. */
function valuesOf<T>(code: usize, scales: v128): v128 {
  if (sizeof<T>() == 4) return v128.load(code);
  if (sizeof<T>() == 2) return i32x4.shl(v128.load16x4_u(code), 16);
  const codes = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(code)));
  return f32x4.mul(f32x4.convert_i32x4_s(codes), scales);
}
