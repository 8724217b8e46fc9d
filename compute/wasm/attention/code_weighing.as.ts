/**
 * Products of rows of whole numbers, i16, with codes of the pairs of tokens of a table: sums[row][channel] += scales[row] · Σ codes[row][i] · value[i][channel], a whole number that doesn't pass
 * 32 bits. The table has addresses, `offset` bytes before the values; rows of whole numbers begin every `rowBytes`, rows of sums every `sumBytes`.
 */
import { madd } from '../linear/math.as';

function scaled(whole: v128, scale: v128, sums: v128): v128 {
  return madd(f32x4.convert_i32x4_s(whole), scale, sums);
}

export function weighCodes4x16(
  codes: usize,
  rowBytes: usize,
  table: usize,
  end: usize,
  offset: usize,
  scales: usize,
  sums: usize,
  sumBytes: usize,
): void {
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
  let w1 = codes + rowBytes;
  let w2 = codes + 2 * rowBytes;
  let w3 = codes + 3 * rowBytes;
  for (; table < end; table += 4, codes += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = v128.load8x8_u(value);
    const v1 = v128.load8x8_u(value, 8);
    const v2 = v128.load8x8_u(value, 16);
    const v3 = v128.load8x8_u(value, 24);
    let pair = v128.load32_splat(codes);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, v0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(pair, v1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(pair, v2));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(pair, v3));
    pair = v128.load32_splat(w1);
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(pair, v0));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(pair, v1));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(pair, v2));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(pair, v3));
    pair = v128.load32_splat(w2);
    c0 = i32x4.add(c0, i32x4.dot_i16x8_s(pair, v0));
    c1 = i32x4.add(c1, i32x4.dot_i16x8_s(pair, v1));
    c2 = i32x4.add(c2, i32x4.dot_i16x8_s(pair, v2));
    c3 = i32x4.add(c3, i32x4.dot_i16x8_s(pair, v3));
    pair = v128.load32_splat(w3);
    d0 = i32x4.add(d0, i32x4.dot_i16x8_s(pair, v0));
    d1 = i32x4.add(d1, i32x4.dot_i16x8_s(pair, v1));
    d2 = i32x4.add(d2, i32x4.dot_i16x8_s(pair, v2));
    d3 = i32x4.add(d3, i32x4.dot_i16x8_s(pair, v3));
    w1 += 4;
    w2 += 4;
    w3 += 4;
  }
  let scale = v128.load32_splat(scales);
  v128.store(sums, scaled(a0, scale, v128.load(sums)));
  v128.store(sums, scaled(a1, scale, v128.load(sums, 16)), 16);
  v128.store(sums, scaled(a2, scale, v128.load(sums, 32)), 32);
  v128.store(sums, scaled(a3, scale, v128.load(sums, 48)), 48);
  sums += sumBytes;
  scale = v128.load32_splat(scales, 4);
  v128.store(sums, scaled(b0, scale, v128.load(sums)));
  v128.store(sums, scaled(b1, scale, v128.load(sums, 16)), 16);
  v128.store(sums, scaled(b2, scale, v128.load(sums, 32)), 32);
  v128.store(sums, scaled(b3, scale, v128.load(sums, 48)), 48);
  sums += sumBytes;
  scale = v128.load32_splat(scales, 8);
  v128.store(sums, scaled(c0, scale, v128.load(sums)));
  v128.store(sums, scaled(c1, scale, v128.load(sums, 16)), 16);
  v128.store(sums, scaled(c2, scale, v128.load(sums, 32)), 32);
  v128.store(sums, scaled(c3, scale, v128.load(sums, 48)), 48);
  sums += sumBytes;
  scale = v128.load32_splat(scales, 12);
  v128.store(sums, scaled(d0, scale, v128.load(sums)));
  v128.store(sums, scaled(d1, scale, v128.load(sums, 16)), 16);
  v128.store(sums, scaled(d2, scale, v128.load(sums, 32)), 32);
  v128.store(sums, scaled(d3, scale, v128.load(sums, 48)), 48);
}

export function weighCodes2x16(
  codes: usize,
  rowBytes: usize,
  table: usize,
  end: usize,
  offset: usize,
  scales: usize,
  sums: usize,
  sumBytes: usize,
): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let w1 = codes + rowBytes;
  for (; table < end; table += 4, codes += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = v128.load8x8_u(value);
    const v1 = v128.load8x8_u(value, 8);
    const v2 = v128.load8x8_u(value, 16);
    const v3 = v128.load8x8_u(value, 24);
    let pair = v128.load32_splat(codes);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, v0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(pair, v1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(pair, v2));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(pair, v3));
    pair = v128.load32_splat(w1);
    b0 = i32x4.add(b0, i32x4.dot_i16x8_s(pair, v0));
    b1 = i32x4.add(b1, i32x4.dot_i16x8_s(pair, v1));
    b2 = i32x4.add(b2, i32x4.dot_i16x8_s(pair, v2));
    b3 = i32x4.add(b3, i32x4.dot_i16x8_s(pair, v3));
    w1 += 4;
  }
  let scale = v128.load32_splat(scales);
  v128.store(sums, scaled(a0, scale, v128.load(sums)));
  v128.store(sums, scaled(a1, scale, v128.load(sums, 16)), 16);
  v128.store(sums, scaled(a2, scale, v128.load(sums, 32)), 32);
  v128.store(sums, scaled(a3, scale, v128.load(sums, 48)), 48);
  sums += sumBytes;
  scale = v128.load32_splat(scales, 4);
  v128.store(sums, scaled(b0, scale, v128.load(sums)));
  v128.store(sums, scaled(b1, scale, v128.load(sums, 16)), 16);
  v128.store(sums, scaled(b2, scale, v128.load(sums, 32)), 32);
  v128.store(sums, scaled(b3, scale, v128.load(sums, 48)), 48);
}

export function weighCodes1x16(
  codes: usize,
  table: usize,
  end: usize,
  offset: usize,
  scales: usize,
  sums: usize,
): void {
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (; table < end; table += 4, codes += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = v128.load8x8_u(value);
    const v1 = v128.load8x8_u(value, 8);
    const v2 = v128.load8x8_u(value, 16);
    const v3 = v128.load8x8_u(value, 24);
    const pair = v128.load32_splat(codes);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, v0));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(pair, v1));
    a2 = i32x4.add(a2, i32x4.dot_i16x8_s(pair, v2));
    a3 = i32x4.add(a3, i32x4.dot_i16x8_s(pair, v3));
  }
  const scale = v128.load32_splat(scales);
  v128.store(sums, scaled(a0, scale, v128.load(sums)));
  v128.store(sums, scaled(a1, scale, v128.load(sums, 16)), 16);
  v128.store(sums, scaled(a2, scale, v128.load(sums, 32)), 32);
  v128.store(sums, scaled(a3, scale, v128.load(sums, 48)), 48);
}

export function weighCodes1x4(codes: usize, table: usize, end: usize, offset: usize, scales: usize, sums: usize): void {
  let a0 = i32x4.splat(0);
  for (; table < end; table += 4, codes += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = v128.load8x8_u(value);
    const pair = v128.load32_splat(codes);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(pair, v0));
  }
  const scale = v128.load32_splat(scales);
  v128.store(sums, scaled(a0, scale, v128.load(sums)));
}
