import { WeightError } from './errors.js';

/** Element types that can be read; each converts to float32 without loss. */
export const SUPPORTED_DTYPES = ['BF16', 'F16', 'F32'] as const;
/** One of {@link SUPPORTED_DTYPES}, as safetensors files name them. */
export type SupportedDtype = (typeof SUPPORTED_DTYPES)[number];

/**
 * Bits per element of every type that the safetensors format knows. A header may hold any of them, because a tensor
 * that nobody reads does no harm; reading one outside {@link SUPPORTED_DTYPES} is an error.
 */
export const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['C64', 64],
  ['F64', 64],
  ['I64', 64],
  ['U64', 64],
]);

/** True for the element types that {@link decodeToFloat32} converts. */
export function isSupportedDtype(dtype: string): dtype is SupportedDtype {
  return SUPPORTED_DTYPES.some((supported) => supported === dtype);
}

/**
 * Converts little-endian elements to float32, exactly: subnormals, infinities, −0 and the payloads of NaNs survive.
 *
 * @param bytes elements as in the file; may start at any offset of its buffer
 * @param dtype element type of `bytes`
 * @returns a new array with one float32 per element
 * @throws WeightError UNKNOWN_DTYPE when `dtype` is none of {@link SUPPORTED_DTYPES}
 */
export function decodeToFloat32(bytes: Uint8Array, dtype: string): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(numElementsOf(bytes, requireSupported(dtype)));
  decodeBits(bytes, requireSupported(dtype), 0, bits);
  return new Float32Array(bits.buffer);
}

/** Element types that can be written. */
export const WRITABLE_DTYPES = ['BF16', 'F32'] as const;
/** One of {@link WRITABLE_DTYPES}. */
export type WritableDtype = (typeof WRITABLE_DTYPES)[number];

/** Fills `out` with the float32 bit patterns of the elements that begin at `offset`. */
function decodeBits(bytes: Uint8Array, dtype: SupportedDtype, offset: number, out: Uint32Array): void {
  // A DataView reads at any alignment and states the byte order of the file instead of assuming the machine's.
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset);
  switch (dtype) {
    case 'BF16':
      for (let i = 0; i < out.length; i++) out[i] = view.getUint16(2 * i, true) << 16;
      return;
    case 'F16':
      for (let i = 0; i < out.length; i++) out[i] = float32BitsOfF16(view.getUint16(2 * i, true));
      return;
    case 'F32':
      for (let i = 0; i < out.length; i++) out[i] = view.getUint32(4 * i, true);
      return;
  }
}

/** Float32 bit pattern with the value of an IEEE half (1 sign, 5 exponent, 10 mantissa bits). */
function float32BitsOfF16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // A subnormal half is a normal float32: shift the leading one into the implicit place.
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}

function requireSupported(dtype: string): SupportedDtype {
  if (isSupportedDtype(dtype)) return dtype;
  throw new WeightError(
    'UNKNOWN_DTYPE',
    `element type ${dtype} cannot be converted; use a checkpoint in ${SUPPORTED_DTYPES.join(', ')}`,
  );
}

function numElementsOf(bytes: Uint8Array, dtype: SupportedDtype): number {
  return bytes.byteLength / (DTYPE_BITS.get(dtype)! / 8);
}
