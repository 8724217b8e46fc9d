import { expect } from 'chai';
import fc from 'fast-check';
import { decodeToFloat32 } from '../../../lib/weights/dtypes.js';
import { WeightError } from '../../../lib/weights/errors.js';
import { errorOf } from '../../kit/rejects.js';
import { encodeFloat32 } from '../../refs/encoded_floats_ref.js';

/** Every 16-bit code in ascending order, little-endian. */
const ALL_CODES = new Uint8Array(2 * 65536).map((_, i) => (i % 2 === 0 ? (i >> 1) & 0xff : i >> 9));

/** The value of a 16-bit float by the definition of IEEE 754, in float64 arithmetic. */
function valueOf(code: number, exponentBits: number, mantissaBits: number): number {
  const sign = code >> 15 === 1 ? -1 : 1;
  const exponent = (code >> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = code & (2 ** mantissaBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + mantissa / 2 ** mantissaBits) * 2 ** (exponent - bias);
}

function expectSameValues(actual: Float32Array, expected: (i: number) => number): void {
  for (let i = 0; i < actual.length; i++) {
    if (!Object.is(actual[i], expected(i))) expect.fail(`code ${i}: got ${actual[i]!}, expected ${expected(i)}`);
  }
}

function bitsOf(values: Float32Array): number[] {
  return [...new Uint32Array(values.buffer, values.byteOffset, values.length)];
}

describe('dtypes', () => {
  it('BF16 has the value that IEEE arithmetic gives, for all 65,536 codes', () => {
    expectSameValues(decodeToFloat32(ALL_CODES, 'BF16'), (code) => valueOf(code, 8, 7));
  });

  it('F16 has the value that IEEE arithmetic gives, for all 65,536 codes', () => {
    expectSameValues(decodeToFloat32(ALL_CODES, 'F16'), (code) => valueOf(code, 5, 10));
  });

  it('encoding: F32 keeps every bit; BF16 is the nearest value, of two equally near the even one', () => {
    const finite = fc.float({ noNaN: true, min: -(2 ** 126), max: 2 ** 126 });
    fc.assert(
      fc.property(fc.float32Array({ maxLength: 40 }), (values) => {
        expect(bitsOf(decodeToFloat32(encodeFloat32(values, 'F32'), 'F32'))).to.deep.equal(bitsOf(values));
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7f7e }), fc.boolean(), finite, (code, isNegative, value) => {
        const sign = isNegative ? -1 : 1;
        const [low, high] = [sign * valueOf(code, 8, 7), sign * valueOf(code + 1, 8, 7)];
        const half = (low + high) / 2;
        const even = code % 2 === 0 ? low : high;
        const encode = (value: number): number =>
          decodeToFloat32(encodeFloat32(Float32Array.of(value), 'BF16'), 'BF16')[0]!;
        expect([encode(low), encode(half), encode(high)]).to.deep.equal([low, even, high]);
        expect(Math.abs(encode(value) - value)).to.be.at.most(Math.max(Math.abs(value) / 256, 2 ** -134));
      }),
    );
  });

  it('F32 keeps every bit, also of signalling NaNs', () => {
    fc.assert(
      fc.property(fc.uint32Array({ maxLength: 40 }), (bits) => {
        expect(bitsOf(decodeToFloat32(new Uint8Array(bits.slice().buffer), 'F32'))).to.deep.equal([...bits]);
      }),
    );
    expect(bitsOf(decodeToFloat32(Uint8Array.of(1, 0, 0x80, 0x7f), 'F32'))).to.deep.equal([0x7f800001]);
  });

  it('converts bytes that begin at an odd offset', () => {
    for (const dtype of ['BF16', 'F16', 'F32']) {
      const shifted = new Uint8Array(1 + 4096);
      shifted.set(ALL_CODES.subarray(0, 4096), 1);
      expect(bitsOf(decodeToFloat32(shifted.subarray(1), dtype))).to.deep.equal(
        bitsOf(decodeToFloat32(ALL_CODES.slice(0, 4096), dtype)),
      );
    }
  });

  it('an element type without a conversion is refused with the list of those that have one', async () => {
    for (const dtype of ['F8_E4M3', 'U8', 'I64', 'F64', 'nonsense']) {
      const error = await errorOf(WeightError, () => decodeToFloat32(new Uint8Array(8), dtype));
      expect(error.message).to.match(new RegExp(`^UNKNOWN_DTYPE: .*${dtype}.*BF16, F16, F32$`));
    }
  });
});
