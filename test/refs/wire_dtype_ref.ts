/**
 * Wire dtypes the slow way: codes are found by looking for the nearest value, not by working on bits. Values are handled as the bits of float32,
 * because a JavaScript number may lose a NaN's payload.
 */
import type { WireDtype } from '../../comm/codec/wire_dtype.js';

const { fround } = Math;

const view = new DataView(new ArrayBuffer(4));

export function floatOf(bits: number): number {
  view.setUint32(0, bits);
  return view.getFloat32(0);
}

export function bitsOf(value: number): number {
  view.setFloat32(0, value);
  return view.getUint32(0);
}

const isNegative = (bits: number): boolean => bits >= 2 ** 31;
const quietNan = (bits: number): number => (isNegative(bits) ? 0xffc00000 : 0x7fc00000);

/** Of a sorted list, the index of the value nearest to `value`; of two equally near the even index. Exact: doubles hold the distances. */
function nearestIndex(sorted: readonly number[], value: number): number {
  let best = 0;
  for (let i = 1; i < sorted.length; i++) {
    const gain = Math.abs(value - sorted[best]!) - Math.abs(value - sorted[i]!);
    if (gain > 0 || (gain === 0 && i % 2 === 0)) best = i;
  }
  return best;
}

/** The value of a code 0x00 … 0x7e by the format's definition: 4 bits of exponent, bias 7, 3 of mantissa. */
function e4m3(code: number): number {
  const exponent = code >> 3;
  const mantissa = code & 7;
  return exponent === 0 ? (mantissa / 8) * 2 ** -6 : (1 + mantissa / 8) * 2 ** (exponent - 7);
}

/** Values of the codes 0x00 … 0x7e, ascending: 0 to 448. */
export const E4M3_VALUES: readonly number[] = Array.from({ length: 127 }, (_, code) => e4m3(code));

/** The bf16 code of a float32. */
export function bf16Of(bits: number): number {
  const value = floatOf(bits);
  const below = Math.floor(bits / 65536);
  if (Number.isNaN(value)) return below | 0x40;
  if (!Number.isFinite(value)) return below;
  // The neighbours in magnitude; beyond the largest finite one, what its successor would be, which stands for infinity.
  const magnitude = Math.abs(value);
  const low = Math.abs(floatOf(below * 65536));
  const isLast = (below & 0x7fff) === 0x7f7f;
  const high = isLast ? 2 ** 128 : Math.abs(floatOf((below + 1) * 65536));
  const toLow = magnitude - low;
  const toHigh = high - magnitude;
  if (toLow !== toHigh) return toLow < toHigh ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

const INT8_MAGNITUDES: readonly number[] = Array.from({ length: 128 }, (_, i) => i);
const LARGEST_FLOAT = floatOf(0x7f7fffff);

/** The scale of a group and what its values are multiplied by, from its largest finite magnitude. */
function scaleOf(dtype: 'fp8' | 'int8', amax: number): { scale: number; inverse: number } {
  if (dtype === 'fp8') {
    const floored = Math.max(amax, fround(1e-4));
    return { scale: fround(floored / 448), inverse: fround(448 / floored) };
  }
  const floored = Math.max(amax, 127 * 2 ** -126);
  let scale = fround(floored / 127);
  // 127 times the scale must not overflow.
  if (127 * scale > LARGEST_FLOAT) scale = floatOf(bitsOf(scale) - 1);
  return { scale, inverse: fround(127 / floored) };
}

function codeOf(dtype: 'fp8' | 'int8', bits: number, inverse: number): number {
  const value = floatOf(bits);
  if (dtype === 'fp8') {
    const sign = isNegative(bits) ? 0x80 : 0;
    if (!Number.isFinite(value)) return sign | 0x7f;
    return sign | nearestIndex(E4M3_VALUES, Math.abs(fround(value * inverse)));
  }
  if (!Number.isFinite(value)) return 0x80;
  const scaled = fround(value * inverse);
  const magnitude = nearestIndex(INT8_MAGNITUDES, Math.abs(scaled));
  return (scaled < 0 ? -magnitude : magnitude) & 0xff;
}

/** The wire's bytes of rows given as bits of float32. */
export function encodeRef(dtype: WireDtype, rows: readonly (readonly number[])[]): Uint8Array {
  if (dtype === 'f32') return littleEndian(rows.flat(), 4);
  if (dtype === 'bf16') return littleEndian(rows.flat().map(bf16Of), 2);
  const scales: number[] = [];
  const codes: number[] = [];
  for (const row of rows) {
    for (let start = 0; start < row.length; start += 128) {
      const group = row.slice(start, start + 128);
      const finite = group.map((bits) => Math.abs(floatOf(bits))).filter(Number.isFinite);
      const { scale, inverse } = scaleOf(dtype, Math.max(0, ...finite));
      scales.push(bitsOf(scale));
      codes.push(...group.map((bits) => codeOf(dtype, bits, inverse)));
    }
  }
  return Uint8Array.from([...littleEndian(scales, 4), ...codes]);
}

/** The bits of the float32 that one code stands for. */
export function decodedBits(dtype: WireDtype, code: number, scale: number): number {
  switch (dtype) {
    case 'f32':
      return code;
    case 'bf16':
      return code * 65536;
    case 'fp8': {
      const sign = code >= 128 ? 2 ** 31 : 0;
      if ((code & 0x7f) === 0x7f) return quietNan(sign);
      return sign + bitsOf(fround(E4M3_VALUES[code & 0x7f]! * scale));
    }
    case 'int8':
      return code === 128 ? quietNan(0) : bitsOf(fround((code < 128 ? code : code - 256) * scale));
  }
}

/** Bits of the float32 values [numRows·hidden] that the wire's bytes stand for. */
export function decodeRef(dtype: WireDtype, bytes: Uint8Array, numRows: number, hidden: number): number[] {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const groups = Math.ceil(hidden / 128);
  return Array.from({ length: numRows * hidden }, (_, i) => {
    if (dtype === 'f32') return data.getUint32(4 * i, true);
    if (dtype === 'bf16') return decodedBits(dtype, data.getUint16(2 * i, true), 1);
    const group = Math.floor(i / hidden) * groups + Math.floor((i % hidden) / 128);
    return decodedBits(dtype, data.getUint8(4 * numRows * groups + i), data.getFloat32(4 * group, true));
  });
}

function littleEndian(numbers: readonly number[], bytesEach: number): Uint8Array {
  const bytes = new Uint8Array(numbers.length * bytesEach);
  for (const [at, n] of numbers.entries()) {
    for (let i = 0; i < bytesEach; i++) bytes[at * bytesEach + i] = Math.floor(n / 256 ** i) % 256;
  }
  return bytes;
}
