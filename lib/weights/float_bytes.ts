/** Numbers as a file has them. Pure. */
import { bf16Of } from '../../compute/base/weight_matrix.js';
import type { SupportedDtype } from './dtypes.js';

/** Little-endian elements, to nearest, ties to even. */
export function bytesOfFloats(values: Float32Array, dtype: SupportedDtype): Uint8Array {
  switch (dtype) {
    case 'BF16':
      return bf16Of(values);
    case 'F16':
      return f16Of(values);
    case 'F32': {
      const bytes = new Uint8Array(4 * values.length);
      const view = new DataView(bytes.buffer);
      values.forEach((value, i) => view.setFloat32(4 * i, value, true));
      return bytes;
    }
  }
}

function f16Of(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  bits.forEach((word, i) => view.setUint16(2 * i, halfOf(word), true));
  return bytes;
}

/** IEEE half of the bits of a float32. */
function halfOf(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x47800000) return sign | 0x7c00; // from 65536 on
  // A half's exponent is 112 less; what is below its normal numbers loses one more bit for each power of two.
  const exponent = magnitude >>> 23;
  const isNormal = exponent > 112;
  const mantissa = isNormal ? magnitude - (112 << 23) : (magnitude & 0x7fffff) | 0x800000;
  const shift = isNormal ? 13 : Math.min(31, 126 - exponent);
  const kept = mantissa >>> shift;
  const rest = mantissa & (2 ** shift - 1);
  const half = 2 ** (shift - 1);
  const isUp = rest > half || (rest === half && (kept & 1) === 1);
  return sign | (kept + (isUp ? 1 : 0)); // rounding up into the next exponent, or to infinity, is right by itself
}
