/** One weight of a matrix, read byte by byte. */
import type { WeightMatrix } from '../../compute/base/weight_matrix.js';

export function weightRef({ dtype, columns, bytes }: WeightMatrix, row: number, column: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === 'f32') return view.getFloat32(4 * (row * columns + column), true);
  if (dtype === 'bf16') {
    const bits = view.getUint16(2 * (row * columns + column), true);
    const [sign, exponent, fraction] = [bits >> 15, (bits >> 7) & 0xff, bits & 0x7f];
    if (exponent === 255) return fraction !== 0 ? NaN : sign === 1 ? -Infinity : Infinity;
    const size = exponent === 0 ? (fraction / 128) * 2 ** -126 : (1 + fraction / 128) * 2 ** (exponent - 127);
    return sign === 1 ? -size : size;
  }
  const numScales = Math.ceil(columns / 32);
  const start = row * (columns + 4 * numScales);
  const scale = view.getFloat32(start + columns + 4 * Math.floor(column / 32), true);
  return Math.fround(view.getInt8(start + column) * scale);
}
