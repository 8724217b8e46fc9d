/** Matrices of the types that checkpoints have and nothing is rounded to. */
import {
  groupHeadBytes,
  isCoded,
  SCALE_GROUP,
  weightRowBytes,
  type WeightMatrix,
} from '../../../compute/base/weight_matrix.js';
import { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { ResidentDtype } from '../../../compute/wasm/memory/resident_dtype.js';
import { f32Matrix } from './kernel_rows.js';

/** Largest values of codes. */
const LARGEST = { int8: 128, fp8: 448, int4: 8, fp4: 6, uint4: 15 } as const;

/** Weights between −1 and 1 of which floats give the codes: each code occurs, but NaN. */
export function codedMatrix(
  dtype: keyof typeof LARGEST,
  rows: number,
  columns: number,
  values: Float32Array,
): WeightMatrix {
  const rowBytes = weightRowBytes(dtype, columns);
  const bytes = new Uint8Array(rows * rowBytes);
  const view = new DataView(bytes.buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < rowBytes; i++) {
      const code = bits[row * columns + (i % columns)]! >>> 4;
      bytes[row * rowBytes + i] = dtype === 'fp8' && (code & 127) === 127 ? code - 1 : code;
    }
    if (LARGEST[dtype] < 16 && columns % 2 === 1) bytes[(row + 1) * rowBytes - 1]! &= 15;
    for (let column = 0; column < columns; column += SCALE_GROUP) {
      const scale = (0.1 + 0.9 * Math.abs(values[row * columns + column]! % 1)) / LARGEST[dtype];
      const group = row * rowBytes + weightRowBytes(dtype, column);
      view.setFloat32(group, scale, true);
      if (groupHeadBytes(dtype) > 4) view.setFloat32(group + 4, bits[row * columns + column]! % 16, true);
    }
  }
  return { dtype, rows, columns, bytes };
}

/** A resident matrix of any type: of those that values can be rounded to, these. */
export function residentMatrix(
  memory: KernelMemory,
  dtype: ResidentDtype,
  rows: number,
  columns: number,
  values: Float32Array,
): KernelMatrix {
  const isOwn = isCoded(dtype) && dtype !== 'int8';
  const weights = isOwn ? codedMatrix(dtype, rows, columns, values) : f32Matrix(rows, columns, values);
  return KernelMatrix.from(memory, weights, dtype);
}
