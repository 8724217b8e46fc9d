/**
 * Row-wise functions that TensorFlow.js has no kernel for, as loops over its own memory: pure, on plain arrays. One call replaces a chain of three to six
 * kernels, whose overhead is what bounds small batches. Sums are float64; every row depends on itself alone.
 * Why: docs/decisions/tensorflow.md#fused-row-kernels
 */

/** out = x · (mean(x²) + eps)^−½ · weight, for rows of weight's length. */
export function rmsNormRows(x: Float32Array, weight: Float32Array, eps: number, out: Float32Array): void {
  const width = weight.length;
  for (let start = 0; start < x.length; start += width) {
    let sum = 0;
    for (let i = start; i < start + width; i++) sum += x[i]! * x[i]!;
    const scale = 1 / Math.sqrt(sum / width + eps);
    for (let i = 0; i < width; i++) out[start + i] = x[start + i]! * scale * weight[i]!;
  }
}

/** out [N·I] = silu(gate) · up, for rows [gate | up] of x [N·2I]. */
export function swigluRows(x: Float32Array, intermediate: number, out: Float32Array): void {
  for (let row = 0, at = 0; row < x.length; row += 2 * intermediate) {
    for (let i = row; i < row + intermediate; i++) {
      const gate = x[i]!;
      out[at++] = (gate / (1 + Math.exp(-gate))) * x[i + intermediate]!;
    }
  }
}

/** out = exp(x − the row's maximum), for rows of `width`. */
export function expRows(x: Float32Array, width: number, out: Float32Array): void {
  for (let start = 0; start < x.length; start += width) {
    let highest = -Infinity;
    for (let i = start; i < start + width; i++) if (x[i]! > highest) highest = x[i]!;
    for (let i = start; i < start + width; i++) out[i] = Math.exp(x[i]! - highest);
  }
}
