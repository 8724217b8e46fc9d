/** Norms of rows, computed in float64 like their portable form, compute/tfjs/backends/fused_rows.ts. */

/** Without a bias the root-mean-square norm (Zhang and Sennrich 2019), with one LayerNorm (Ba et al. 2016). */
@unmanaged
export class Norm {
  eps: f64;
  /** float32, as wide as the rows. */
  weight: usize;
  /** The same; 0 = none. */
  bias: usize;
}

/**
 * y = (x − m) · (mean((x − m)²) + eps)^−½ · weight + bias, where m is the row's mean, or 0 without a bias; for `numRows` rows of `width` floats, which begin every
 * xStride and yStride floats. y may be x. norm: address of a {@link Norm}. Padding stays as it is.
 */
export function applyNorm(x: usize, numRows: i32, width: i32, xStride: i32, norm: usize, y: usize, yStride: i32): void {
  const n = changetype<Norm>(norm);
  for (let row = 0; row < numRows; row++) {
    if (n.bias == 0) scaleRow(x, width, scaleOf(sumOfSquares(x, width), width, n.eps), n.weight, y);
    else centreRow(x, width, n, y);
    x += (<usize>xStride) << 2;
    y += (<usize>yStride) << 2;
  }
}

function scaleOf(sum: f64, width: i32, eps: f64): f64 {
  return 1 / sqrt<f64>(sum / <f64>width + eps);
}

/** LayerNorm of one row, value by value: few families have it, and attention and networks take a thousand times as long. */
function centreRow(x: usize, width: i32, n: Norm, y: usize): void {
  const bytes = (<usize>width) << 2;
  let sum: f64 = 0;
  for (let i: usize = 0; i < bytes; i += 4) sum += <f64>load<f32>(x + i);
  const mean = sum / <f64>width;
  let squares: f64 = 0;
  for (let i: usize = 0; i < bytes; i += 4) {
    const difference = <f64>load<f32>(x + i) - mean;
    squares += difference * difference;
  }
  const scale = scaleOf(squares, width, n.eps);
  for (let i: usize = 0; i < bytes; i += 4) {
    const normed = (<f64>load<f32>(x + i) - mean) * scale;
    store<f32>(y + i, <f32>(normed * <f64>load<f32>(n.weight + i) + <f64>load<f32>(n.bias + i)));
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
