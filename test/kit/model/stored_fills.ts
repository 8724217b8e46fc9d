/** Bytes of tensors of any element type from their names alone, as scripts/conformance/fills.py makes them; neither knows what they stand for. */
import { InternalError } from '../../../base/coded_error.js';
import { conformanceValues, hashedWord, seedOf } from './conformance.js';

/** What fills.py says of a tensor's elements. */
export type Fill =
  | { readonly kind: 'value' }
  | { readonly kind: 'code' | 'fp8' | 'fp8 scale' }
  | { readonly kind: 'scale'; readonly size: number }
  | { readonly kind: 'exponent'; readonly center: number }
  | { readonly kind: 'below'; readonly limit: number }
  | { readonly kind: 'ascending'; readonly run: number }
  | { readonly kind: 'list'; readonly values: readonly number[] };

/** A tensor's bytes. @throws InternalError for an element type that fills.py doesn't use */
export function filledBytes(name: string, dtype: string, shape: readonly number[], fill: Fill): Uint8Array {
  const length = shape.reduce((product, size) => product * size, 1);
  if (fill.kind === 'value') return encode(dtype, conformanceValues(name, shape));
  const seed = seedOf(name);
  return encode(
    dtype,
    Float64Array.from({ length }, (_, i) => elementOf(fill, hashedWord(seed, i), i, dtype === 'I32' ? 0 : 24)),
  );
}

function elementOf(fill: Exclude<Fill, { kind: 'value' }>, word: number, index: number, codeShift: number): number {
  switch (fill.kind) {
    case 'code':
      return word >>> codeShift;
    case 'fp8':
      return ((word >>> 24) & 0x7f) === 0x7f ? (word >>> 24) - 1 : word >>> 24;
    case 'scale':
      return fill.size * (1 + (word >>> 29) / 8);
    case 'exponent':
      return fill.center - 2 + (word >>> 30);
    case 'fp8 scale':
      return 0x30 + (word >>> 28);
    case 'below':
      return word % fill.limit;
    case 'ascending':
      return Math.floor(index / fill.run);
    case 'list':
      return fill.values[index]!;
  }
}

/** F16 and BF16 hold what bfloat16 and a small exponent can; whole numbers as their lowest bits. */
function encode(dtype: string, values: ArrayLike<number>): Uint8Array {
  switch (dtype) {
    case 'F32':
      return bytesOf(Float32Array.from(values));
    case 'BF16':
      return bytesOf(Uint16Array.from(upperHalves(values)));
    case 'F16':
      return bytesOf(Uint16Array.from(upperHalves(values), halfOf));
    case 'I32':
      return bytesOf(Int32Array.from(values, (value) => value | 0));
    case 'I64':
      return bytesOf(BigInt64Array.from(Array.from(values, BigInt)));
    case 'U8':
    case 'I8':
    case 'F8_E4M3':
    case 'F8_E8M0':
      return Uint8Array.from(values);
    default:
      throw new InternalError(`fills.py doesn't write ${dtype}`);
  }
}

const bytesOf = ({ buffer }: { readonly buffer: ArrayBuffer }): Uint8Array => new Uint8Array(buffer);

/** The upper 16 bits of float32. */
const upperHalves = (values: ArrayLike<number>): Uint16Array =>
  Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16);

/** Half precision of a bfloat16; rounds to even below its normal numbers. */
function halfOf(upper: number): number {
  const sign = (upper & 0x8000) >>> 0;
  const exponent = ((upper >>> 7) & 0xff) - 127 + 15;
  const mantissa = 0x80 | (upper & 0x7f);
  if (exponent > 0) return sign | (exponent << 10) | ((mantissa & 0x7f) << 3);
  const shift = 1 - exponent;
  const wide = (mantissa << 3) / 2 ** shift;
  const floor = Math.floor(wide);
  const isUp = wide - floor > 0.5 || (wide - floor === 0.5 && floor % 2 === 1);
  return sign | (isUp ? floor + 1 : floor);
}
