/** Root-mean-square norm (Zhang and Sennrich, 2019), computed in float64 like its portable form, compute/tfjs/backends/fused_rows.ts. */

/**
 * y = x · (mean(x²) + eps)^−½ · weight for `numRows` rows of `width` floats, which begin every xStride and yStride floats; y may be x.
 * weight: `width` floats. Padding stays as it is.
 */
export function rmsNorm(
  x: usize,
  numRows: i32,
  width: i32,
  xStride: i32,
  weight: usize,
  eps: f64,
  y: usize,
  yStride: i32,
): void {
  for (let row = 0; row < numRows; row++) {
    const scale = 1 / sqrt<f64>(sumOfSquares(x, width) / <f64>width + eps);
    scaleRow(x, width, scale, weight, y);
    x += (<usize>xStride) << 2;
    y += (<usize>yStride) << 2;
  }
}

function sumOfSquares(x: usize, width: i32): f64 {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  const end = x + ((<usize>width) << 2);
  for (; x + 16 <= end; x += 16) {
    const values = v128.load(x);
    const first = f64x2.promote_low_f32x4(values);
    const second = f64x2.promote_low_f32x4(upper(values));
    low = f64x2.add(low, f64x2.mul(first, first));
    high = f64x2.add(high, f64x2.mul(second, second));
  }
  const sums = f64x2.add(low, high);
  let sum = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
  for (; x < end; x += 4) sum += <f64>load<f32>(x) * <f64>load<f32>(x);
  return sum;
}

function scaleRow(x: usize, width: i32, scale: f64, weight: usize, y: usize): void {
  const scales = f64x2.splat(scale);
  const end = x + ((<usize>width) << 2);
  for (; x + 16 <= end; x += 16, weight += 16, y += 16) {
    const values = v128.load(x);
    const weights = v128.load(weight);
    const low = scaled(values, scales, weights);
    const high = scaled(upper(values), scales, upper(weights));
    v128.store(y, v128.shuffle<i32>(low, high, 0, 1, 4, 5));
  }
  for (; x < end; x += 4, weight += 4, y += 4) store<f32>(y, <f32>(<f64>load<f32>(x) * scale * <f64>load<f32>(weight)));
}

/** The lower two floats · scale · weight, rounded once. */
function scaled(values: v128, scales: v128, weights: v128): v128 {
  const product = f64x2.mul(f64x2.promote_low_f32x4(values), scales);
  return f32x4.demote_f64x2_zero(f64x2.mul(product, f64x2.promote_low_f32x4(weights)));
}

/** The upper two floats as the lower ones. */
function upper(values: v128): v128 {
  return v128.shuffle<i32>(values, values, 2, 3, 2, 3);
}
