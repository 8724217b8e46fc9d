import { expect } from 'chai';
import { wireRowBytes } from '../../../comm/codec/wire_dtype.js';
import { randomFrom } from '../../refs/random.js';
import { E4M3_VALUES, bitsOf, decodedBits, encodeRef } from '../../refs/wire_dtype_ref.js';
import {
  QUIET_NAN,
  INFINITY,
  LARGEST,
  SIGN,
  NANS,
  ODD_VALUES,
  floats,
  bits,
  expectSame,
  encoded,
  decoded,
  expectLikeReference,
  randomRows,
  groupsOf,
  withNeighbours,
  SCALED,
} from '../../kit/comm/wire_values.js';

describe('wire dtypes', () => {
  describe('codes', () => {
    it('all 65536 bf16 codes are decoded exactly, and encoded back to themselves but for signalling NaNs', () => {
      const codes = Uint16Array.from({ length: 65536 }, (_, code) => code);
      const values = decoded('bf16', new Uint8Array(codes.buffer), 512, 128);
      expectSame(
        bits(values),
        Array.from(codes, (code) => code * 65536),
        'bf16',
      );
      const isNan = (code: number): boolean => (code & 0x7fff) > 0x7f80;
      const back = new Uint16Array(encoded('bf16', values, null, 512, 128).buffer);
      expectSame(
        back,
        codes.map((code) => (isNan(code) ? code | 0x40 : code)),
        'bf16 again',
      );
    });

    SCALED.forEach((dtype) => {
      it(`all 256 ${dtype} codes are decoded exactly under any scale`, () => {
        for (const scale of [1, 2 ** -126, 1e-4 / 448, 0.1, 3.7, 7.5e35].map(Math.fround)) {
          const bytes = new Uint8Array(2 * wireRowBytes(dtype, 128));
          new Float32Array(bytes.buffer, 0, 2).fill(scale);
          for (let code = 0; code < 256; code++) bytes[8 + code] = code;
          const expected = Array.from({ length: 256 }, (_, code) => decodedBits(dtype, code, scale));
          expectSame(bits(decoded(dtype, bytes, 2, 128)), expected, `scale ${scale}`);
        }
      });
    });

    it('every fp8 and int8 value is encoded to its own code where the scale is 1', () => {
      const e4m3 = [...E4M3_VALUES, ...E4M3_VALUES.map((value) => -value)];
      const fp8 = encoded('fp8', Float32Array.from([448, ...e4m3, NaN]), null, 2, 128).subarray(8);
      expectSame(fp8.subarray(1, 255), [...range(0, 127), ...range(128, 255)], 'fp8');
      const int8 = encoded('int8', Float32Array.from([...range(-127, 128), Infinity]), null, 2, 128);
      expectSame(int8.subarray(8), [...range(129, 256), ...range(0, 129)], 'int8');
    });
  });

  describe('rounding', () => {
    it('bf16: every halfway point and its neighbours, subnormals, ±0, ±Inf and NaN payloads go as the reference says', () => {
      const low = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
      const patterns = range(0, 65536).flatMap((high) => low.map((rest) => high * 65536 + rest));
      const bytes = encoded('bf16', floats(patterns), null, 3072, 128);
      expectSame(bytes, encodeRef('bf16', [patterns]), 'bf16');
    });

    it('fp8: every midpoint of two codes and its neighbours, and every code and its neighbours', () => {
      const midpoints = E4M3_VALUES.slice(1).map((value, i) => (value + E4M3_VALUES[i]!) / 2);
      const patterns = withNeighbours([...midpoints, ...E4M3_VALUES.slice(1)].map(bitsOf));
      const rest = [...patterns.filter((pattern) => (pattern & 0x7fffffff) <= bitsOf(448)), ...ODD_VALUES];
      expectLikeReference('fp8', [groupsOf(448, rest)], null);
    });

    it('int8: every midpoint of two codes and its neighbours, and every code and its neighbours', () => {
      const midpoints = range(0, 127).map((code) => code + 0.5);
      const patterns = withNeighbours([...midpoints, ...range(1, 127)].map(bitsOf));
      expectLikeReference('int8', [groupsOf(127, [...patterns, ...ODD_VALUES])], null);
    });

    SCALED.forEach((dtype) => {
      it(`${dtype}: what a group's scale brings beside a midpoint of two codes is rounded as the formula says`, () => {
        const random = randomFrom(9);
        const [highest, values] = dtype === 'fp8' ? [448, E4M3_VALUES] : [127, range(0, 128)];
        const midpoints = values.slice(1).map((value, i) => (value + values[i]!) / 2);
        const rows = range(0, 200).map(() => {
          const largest = Math.fround(1 + random());
          const patterns = midpoints.map((midpoint) => bitsOf((midpoint * largest) / highest));
          return groupsOf(largest, withNeighbours(patterns));
        });
        expectLikeReference(dtype, rows, null);
      });
    });

    it('the largest value of a group gets the largest code, whatever it is', () => {
      const random = randomFrom(3);
      for (const dtype of SCALED) {
        const patterns = Array.from({ length: 20000 }, () =>
          Math.floor(bitsOf(1e-4) + random() * (LARGEST - bitsOf(1e-4))),
        );
        const codes = encoded(dtype, floats(patterns), null, patterns.length, 1).subarray(4 * patterns.length);
        expectSame(codes, new Uint8Array(patterns.length).fill(dtype === 'fp8' ? 0x7e : 127), dtype);
      }
    });
  });

  describe('groups', () => {
    it('a group of zeros is decoded to zeros; fp8 keeps their signs', () => {
      const zeros = floats([0, SIGN, 0, SIGN, SIGN]);
      expectSame(bits(decoded('fp8', encoded('fp8', zeros, null, 1, 5), 1, 5)), bits(zeros), 'fp8');
      expectSame(bits(decoded('int8', encoded('int8', zeros, null, 1, 5), 1, 5)), [0, 0, 0, 0, 0], 'int8');
    });

    SCALED.forEach((dtype) => {
      it(`${dtype}: the smallest and largest scales are as the reference has them and values stay finite`, () => {
        const largest = [1e-45, 1e-40, 1.17e-38, 1.4e-36, 1.5e-36, 9.9e-5, 1e-4, 1.1e-4, 1, 3e38].map(bitsOf);
        for (const pattern of [...largest, LARGEST - 2, LARGEST - 1, LARGEST]) {
          const row = range(0, 128).map((i) => (i === 77 ? pattern : bitsOf(floats([pattern])[0]! * (i / 128))));
          expectLikeReference(dtype, [row], null);
          const back = decoded(dtype, encoded(dtype, floats(row), null, 1, 128), 1, 128);
          expect(back.every(Number.isFinite), `largest ${floats([pattern])[0]!}`).to.equal(true);
        }
      });

      it(`${dtype}: NaN and ±Inf are NaN when decoded and don't touch the rest of their group`, () => {
        const row = randomRows(5, 1, 128, 0)[0]!;
        const damaged = [...row];
        const at = [0, 31, 64, 127];
        at.forEach((channel, i) => (damaged[channel] = [INFINITY, INFINITY + SIGN, ...NANS][i]!));
        const undamaged = row.map((pattern, channel) => (at.includes(channel) ? 0 : pattern));
        const out = decoded(dtype, encoded(dtype, floats(damaged), null, 1, 128), 1, 128);
        const expected = decoded(dtype, encoded(dtype, floats(undamaged), null, 1, 128), 1, 128);
        out.forEach((value, channel) => {
          if (at.includes(channel)) expect(value).to.be.NaN;
          else expect(Object.is(value, expected[channel]), `channel ${channel}`).to.equal(true);
        });
        expectLikeReference(dtype, [damaged, damaged.map(() => QUIET_NAN), row], null);
      });
    });

    it('int8 keeps relative precision where values are tiny: the error is at most half a step', () => {
      const random = randomFrom(4);
      for (const largest of [1e-30, 1e-10, 1, 1e30]) {
        const values = Float32Array.from({ length: 128 }, () => (2 * random() - 1) * largest);
        const back = decoded('int8', encoded('int8', values, null, 1, 128), 1, 128);
        const step = Math.max(...values.map(Math.abs)) / 127;
        values.forEach((value, i) => expect(Math.abs(value - back[i]!)).to.be.most(0.5001 * step));
      }
    });
  });
});

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}
