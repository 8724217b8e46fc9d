/** One expert on some rows. Shape suffixes: N rows, H hidden, I intermediate. */
import type { ActivationSpec } from '../../../compute/base/activation_spec.js';
import { matrixOf } from '../../../compute/base/weight_matrix.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { padded, type ResidentDtype } from '../../../compute/wasm/memory/resident_dtype.js';

/** Row by row the products with all rows of a matrix [R,C]: [N·C] → [N·R]. `dtype`: what the matrix is rounded to. Default f32: nothing. */
export type Products = (
  x_NC: Float32Array,
  matrix_RC: Float32Array,
  columns: number,
  dtype?: ResidentDtype,
) => Float32Array;

/** Those of the kernels, in one thread, in a memory that goes when this does. */
export function kernelProducts(): Products {
  const memory = new KernelMemory();
  return (x_NC, matrix_RC, columns, dtype = 'f32') => {
    const [numRows, width, stride] = [x_NC.length / columns, matrix_RC.length / columns, padded(columns)];
    const matrix = KernelMatrix.from(memory, matrixOf(matrix_RC, width, columns), dtype);
    const [x, y] = [memory.allocate(4 * numRows * stride), memory.allocate(4 * numRows * width)];
    const rows = memory.floats(x, numRows * stride).fill(0);
    for (let n = 0; n < numRows; n++) rows.set(x_NC.subarray(n * columns, (n + 1) * columns), n * stride);
    memory.kernels.linear(x, numRows, matrix.address, y, width);
    const out = memory.floats(y, numRows * width).slice();
    for (const address of [x, y]) memory.free(address);
    matrix.dispose();
    return out;
  };
}

/** Adds a row to each. */
export function addBias(rows_NR: Float32Array, bias_R: Float32Array | null): Float32Array {
  return bias_R === null ? rows_NR : rows_NR.map((value, i) => value + bias_R[i % bias_R.length]!);
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
