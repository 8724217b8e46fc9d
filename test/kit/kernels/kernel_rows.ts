/** Rows of floats in a kernel memory, as kernels take and give them. */
import type { FfnWeights } from '../../../compute/base/ffn_weights.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { padded } from '../../../compute/wasm/memory/resident_dtype.js';
import type { WeightMatrix } from '../../../compute/base/weight_matrix.js';
import { randomValues } from '../../refs/random.js';

/** Address of the rows of `values`, padded with zeros. */
export function placeRows(memory: KernelMemory, values: Float32Array, columns: number): number {
  const stride = padded(columns);
  const address = memory.allocate((4 * stride * values.length) / columns);
  const floats = memory.floats(address, (stride * values.length) / columns);
  for (let row = 0; row * columns < values.length; row++)
    floats.set(values.subarray(row * columns, (row + 1) * columns), row * stride);
  return address;
}

/** A checkpoint's float32 matrix. */
export const f32Matrix = (rows: number, columns: number, values: Float32Array): WeightMatrix => ({
  dtype: 'f32',
  rows,
  columns,
  bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

/** Random weights of an expert, as large as those of trained ones are: outputs are about as large as inputs. */
export function expertMatrices(hidden: number, intermediate: number, random: () => number): FfnWeights {
  const matrix = (rows: number, columns: number): WeightMatrix =>
    f32Matrix(rows, columns, randomValues(random, rows * columns, Math.sqrt(3 / columns)));
  return { gate: matrix(intermediate, hidden), up: matrix(intermediate, hidden), down: matrix(hidden, intermediate) };
}

/** The same with biases about as large as what the matrices give. */
export const biasedMatrices = (hidden: number, intermediate: number, random: () => number): FfnWeights => ({
  ...expertMatrices(hidden, intermediate, random),
  biases: randomValues(random, 2 * intermediate + hidden),
});
