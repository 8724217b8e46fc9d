/** y = x·Wᵀ over resident matrices: dot products along the rows of W, in one summation order whatever the number of rows of x. */
import { BF16, F32, Matrix } from './memory.as';

/**
 * x: numRows rows of W.stride floats, zeros in the padding. y: numRows rows of `yStride` floats; columns W.rows … yStride − 1 stay as they are.
 */
export function linear(x: usize, numRows: i32, weight: usize, y: usize, yStride: i32): void {
  const w = changetype<Matrix>(weight);
  const xBytes: usize = (<usize>w.stride) << 2;
  for (let m = 0; m < numRows; m++) {
    for (let n = 0; n < w.rows; n++) {
      store<f32>(y + ((<usize>n) << 2), dot(x, w, n));
    }
    x += xBytes;
    y += (<usize>yStride) << 2;
  }
}

function dot(x: usize, w: Matrix, n: i32): f32 {
  let sum = f32x4.splat(0);
  const width = w.stride;
  if (w.dtype == F32) {
    let row = w.data + <usize>n * ((<usize>width) << 2);
    for (let k = 0; k < width; k += 4, row += 16, x += 16)
      sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.load(row)));
  } else if (w.dtype == BF16) {
    const zero = i32x4.splat(0);
    let row = w.data + <usize>n * ((<usize>width) << 1);
    for (let k = 0; k < width; k += 8, row += 16, x += 32) {
      const codes = v128.load(row);
      sum = f32x4.add(sum, f32x4.mul(v128.load(x), v128.shuffle<i16>(zero, codes, 0, 8, 1, 9, 2, 10, 3, 11)));
      sum = f32x4.add(sum, f32x4.mul(v128.load(x, 16), v128.shuffle<i16>(zero, codes, 4, 12, 5, 13, 6, 14, 7, 15)));
    }
  } else {
    let row = w.data + <usize>n * <usize>width;
    let scale = w.scales + ((<usize>n * <usize>width) >> 3);
    for (let k = 0; k < width; k += 4, row += 4, x += 16) {
      if (k > 0 && (k & 31) == 0) scale += 4;
      const codes = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(row)));
      const values = f32x4.mul(f32x4.convert_i32x4_s(codes), v128.load32_splat(scale));
      sum = f32x4.add(sum, f32x4.mul(v128.load(x), values));
    }
  }
  return (
    f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1) + (f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3))
  );
}
