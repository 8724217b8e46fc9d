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
  for (let n = 0; n < numRows; n += 4) {
    const last = numRows - 1;
    const [x0, x1, x2, x3] = [0, 1, 2, 3].map((i) => Math.min(n + i, last) * columns) as [
      number,
      number,
      number,
      number,
    ];
    for (let r = 0; r < width; r++) {
      const from = r * columns;
      const first = bias_R?.[r] ?? 0;
      let [a, b, c, d] = [first, first, first, first];
      for (let i = 0; i < columns; i++) {
        const weight = matrix_RC[from + i]!;
        a += weight * x_NC[x0 + i]!;
        b += weight * x_NC[x1 + i]!;
        c += weight * x_NC[x2 + i]!;
        d += weight * x_NC[x3 + i]!;
      }
      out[n * width + r] = a;
      if (n + 1 < numRows) out[(n + 1) * width + r] = b;
      if (n + 2 < numRows) out[(n + 2) * width + r] = c;
      if (n + 3 < numRows) out[(n + 3) * width + r] = d;
    }
  }
  return out;
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
