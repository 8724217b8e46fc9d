/** float32 as elements of files, value by value. */
import { DTYPE_BITS, type WritableDtype } from '../../lib/weights/dtypes.js';

/** Converts float32 to little-endian elements; BF16 rounds to nearest, ties to even, and takes no NaN. */
export function encodeFloat32(values: Float32Array, dtype: WritableDtype): Uint8Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bytes = new Uint8Array((values.length * DTYPE_BITS.get(dtype)!) / 8);
  const view = new DataView(bytes.buffer);
  switch (dtype) {
    case 'BF16':
      for (let i = 0; i < bits.length; i++) {
        const word = bits[i]!;
        view.setUint16(2 * i, (word + 0x7fff + ((word >>> 16) & 1)) >>> 16, true);
      }
      return bytes;
    case 'F32':
      for (let i = 0; i < bits.length; i++) view.setUint32(4 * i, bits[i]!, true);
      return bytes;
  }
}
