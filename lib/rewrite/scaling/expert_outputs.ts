/** One expert on some rows, in plain arithmetic. Pure. Shape suffixes: N rows, H hidden, I intermediate. */
import type { ActivationSpec } from '../../../compute/base/activation_spec.js';

/** Row by row the products with all rows of a matrix [R,C], and a bias: [N·C] → [N·R]. */
export function products(
  x_NC: Float32Array,
  matrix_RC: Float32Array,
  columns: number,
  bias_R: Float32Array | null = null,
): Float32Array {
  const [numRows, width] = [x_NC.length / columns, matrix_RC.length / columns];
  const out = new Float32Array(numRows * width);
  for (let n = 0; n < numRows; n += 8) {
    const x = x_NC.subarray(n * columns, Math.min(n + 8, numRows) * columns);
    addEight(out.subarray(n * width), x, matrix_RC, columns, bias_R);
  }
  return out;
}

/** Up to eight rows, which one pass over the matrix serves; what is missing is computed as the last one. */
function addEight(
  out: Float32Array,
  x: Float32Array,
  matrix_RC: Float32Array,
  columns: number,
  bias_R: Float32Array | null,
): void {
  const [numRows, width] = [x.length / columns, matrix_RC.length / columns];
  const at = Int32Array.from({ length: 8 }, (_, n) => Math.min(n, numRows - 1) * columns);
  const [x0, x1, x2, x3, x4, x5, x6, x7] = [at[0]!, at[1]!, at[2]!, at[3]!, at[4]!, at[5]!, at[6]!, at[7]!];
  for (let r = 0; r < width; r++) {
    const from = r * columns;
    let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
    for (let i = 0; i < columns; i++) {
      const weight = matrix_RC[from + i]!;
      a += weight * x[x0 + i]!;
      b += weight * x[x1 + i]!;
      c += weight * x[x2 + i]!;
      d += weight * x[x3 + i]!;
      e += weight * x[x4 + i]!;
      f += weight * x[x5 + i]!;
      g += weight * x[x6 + i]!;
      h += weight * x[x7 + i]!;
    }
    const sums = [a, b, c, d, e, f, g, h];
    for (let n = 0; n < numRows; n++) out[n * width + r] = sums[n]! + (bias_R?.[r] ?? 0);
  }
}

/** What lies between the projections: [N·I]. */
export function activated(gate_NI: Float32Array, up_NI: Float32Array, activation: ActivationSpec): Float32Array {
  if (activation.kind === 'swiglu') return gate_NI.map((g, i) => (g / (1 + Math.exp(-g))) * up_NI[i]!);
  const { limit, alpha } = activation;
  return gate_NI.map((value, i) => {
    const g = Math.min(value, limit);
    const u = Math.min(Math.max(up_NI[i]!, -limit), limit);
    return (g / (1 + Math.exp(-alpha * g))) * (u + 1);
  });
}

/** Σ over rows of weight² · ‖difference‖²; without `other` of ‖output‖². */
export function weightedSquares(
  y_NH: Float32Array,
  weights_N: Float64Array,
  other: Float32Array | null = null,
): number {
  const hidden = y_NH.length / weights_N.length;
  let sum = 0;
  for (let n = 0; n < weights_N.length; n++) {
    let squares = 0;
    for (let i = n * hidden; i < (n + 1) * hidden; i++) squares += (y_NH[i]! - (other?.[i] ?? 0)) ** 2;
    sum += weights_N[n]! ** 2 * squares;
  }
  return sum;
}
