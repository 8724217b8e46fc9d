/** One weight of a matrix, read byte by byte. */
import type { CodedDtype, WeightMatrix } from '../../compute/base/weight_matrix.js';

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
  const bits = dtype === 'int8' || dtype === 'fp8' ? 8 : 4;
  const headBytes = dtype === 'uint4' ? 8 : 4;
  const rowBytes = headBytes * Math.ceil(columns / 32) + Math.ceil((columns * bits) / 8);
  const group = row * rowBytes + Math.floor(column / 32) * (headBytes + 4 * bits);
  const place = column % 32;
  const byte = view.getUint8(group + headBytes + Math.floor((place * bits) / 8));
  const code = bits === 8 ? byte : place % 2 === 0 ? byte % 16 : Math.floor(byte / 16);
  const zero = dtype === 'uint4' ? view.getFloat32(group + 4, true) : 0;
  return Math.fround((valueOfCode(dtype, code) - zero) * view.getFloat32(group, true));
}

function valueOfCode(dtype: CodedDtype, code: number): number {
  switch (dtype) {
    case 'int8':
      return code < 128 ? code : code - 256;
    case 'int4':
      return code < 8 ? code : code - 16;
    case 'uint4':
      return code;
    case 'fp4':
      return [0, 0.5, 1, 1.5, 2, 3, 4, 6][code % 8]! * (code < 8 ? 1 : -1);
    case 'fp8': {
      const [sign, exponent, fraction] = [code < 128 ? 1 : -1, Math.floor((code % 128) / 8), code % 8];
      if (code % 128 === 127) return NaN;
      return sign * (exponent === 0 ? fraction / 512 : (1 + fraction / 8) * 2 ** (exponent - 7));
    }
  }
}
