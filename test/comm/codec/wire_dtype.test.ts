import { expect } from 'chai';
import fc from 'fast-check';
import { Worker } from 'node:worker_threads';
import {
  WIRE_DTYPES,
  decodeRows,
  encodeRows,
  roundTripRows,
  wireRowBytes,
  type WireDtype,
} from '../../../comm/codec/wire_dtype.js';
import { thrown } from '../../kit/errors.js';
import { randomFrom } from '../../refs/random.js';
import { E4M3_VALUES, bitsOf, decodeRef, decodedBits, encodeRef } from '../../refs/wire_dtype_ref.js';

const QUIET_NAN = 0x7fc00000;
const INFINITY = 0x7f800000;
const LARGEST = 0x7f7fffff;
const SIGN = 2 ** 31;
/** NaNs of every kind: quiet, signalling, payloads that bf16 keeps and loses. */
const NANS = [QUIET_NAN, 0x7f800001, 0x7fbfffff, 0x7fffffff, 0x7f81ffff, 0x7fabcdef];
const ODD_VALUES = [0, 1, 0x7fffff, 0x800000, LARGEST, INFINITY, ...NANS].flatMap((bits) => [bits, bits + SIGN]);

const floats = (bits: readonly number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);
const bits = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);

/** Arrays of the same bits; tells the first that differs. */
function expectSame(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  expect(actual.length, what).to.equal(expected.length);
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i]) expect.fail(`${what}: [${i}] is ${actual[i]!}, ${expected[i]!} expected`);
  }
}

/** The wire's bytes of x's rows. */
function encoded(dtype: WireDtype, x: Float32Array, rows: Int32Array | null, numRows: number, hidden: number) {
  const out = new Uint8Array(numRows * wireRowBytes(dtype, hidden)).fill(0xa5);
  encodeRows(dtype, x, rows, numRows, hidden, out);
  return out;
}

function decoded(dtype: WireDtype, bytes: Uint8Array, numRows: number, hidden: number): Float32Array {
  const out = new Float32Array(numRows * hidden);
  decodeRows(dtype, bytes, numRows, hidden, out, 0);
  return out;
}

/** Encodes, decodes and takes the round trip of rows given as bits, each against the reference. */
function expectLikeReference(dtype: WireDtype, x: readonly (readonly number[])[], picked: Int32Array | null): void {
  const hidden = x[0]!.length;
  const chosen = picked === null ? x : Array.from(picked, (row) => x[row]!);
  const values = floats(x.flat());
  const bytes = encoded(dtype, values, picked, chosen.length, hidden);
  expectSame(bytes, encodeRef(dtype, chosen), `${dtype} codes, H ${hidden}`);
  const back = decodeRef(dtype, bytes, chosen.length, hidden);
  expectSame(bits(decoded(dtype, bytes, chosen.length, hidden)), back, `${dtype} values, H ${hidden}`);
  const out = new Float32Array((chosen.length + 1) * hidden);
  roundTripRows(dtype, values, picked, chosen.length, hidden, out, 1);
  expectSame(bits(out.subarray(hidden)), back, `${dtype} round trip, H ${hidden}`);
}

/** Rows of normal values with a few odd ones. */
function randomRows(seed: number, numRows: number, hidden: number, oddShare = 0.01): number[][] {
  const random = randomFrom(seed);
  return Array.from({ length: numRows }, () => {
    const scale = 10 ** (8 * random() - 4);
    return Array.from({ length: hidden }, () =>
      random() < oddShare ? ODD_VALUES[Math.floor(random() * ODD_VALUES.length)]! : bitsOf(scale * normal(random)),
    );
  });
}

const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Groups of 128, each of which `first` begins: it sets the scale. */
const groupsOf = (first: number, rest: readonly number[]): number[] =>
  Array.from({ length: Math.ceil(rest.length / 127) }, (_, i) => {
    const group = [bitsOf(first), ...rest.slice(127 * i, 127 * (i + 1))];
    return [...group, ...new Array<number>(128 - group.length).fill(0)];
  }).flat();

/** Every bit pattern, one float32 step beside it, and all with the other sign. */
const withNeighbours = (positives: readonly number[]): number[] =>
  positives.flatMap((value) => [value - 1, value, value + 1]).flatMap((value) => [value, value + SIGN]);

const ENCODED = ['bf16', 'fp8', 'int8'] as const;
const SCALED = ['fp8', 'int8'] as const;

describe('wire dtypes', () => {
  it('a row has the bytes of its values and of one scale per 128 channels begun', () => {
    const bytesOf = (hidden: number): number[] => WIRE_DTYPES.map((dtype) => wireRowBytes(dtype, hidden));
    expect(bytesOf(1)).to.deep.equal([4, 2, 5, 5]);
    expect(bytesOf(128)).to.deep.equal([512, 256, 132, 132]);
    expect(bytesOf(129)).to.deep.equal([516, 258, 137, 137]);
    expect(bytesOf(7168)).to.deep.equal([28672, 14336, 7392, 7392]);
  });

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

  describe('rows', () => {
    WIRE_DTYPES.forEach((dtype) => {
      [1, 2, 7, 64, 127, 128, 129, 255, 256, 1000, 7168].forEach((hidden) => {
        it(`${dtype}, ${hidden} channels: all rows in order, and some of them in any order, are the reference's`, () => {
          const x = randomRows(hidden, 5, hidden);
          expectLikeReference(dtype, x, null);
          expectLikeReference(dtype, x, Int32Array.of(3, 4, 0, 0, 1, 2, 4));
        });
      });

      it(`${dtype}: rows longer than what is staged at once, and more rows than that`, () => {
        expectLikeReference(dtype, randomRows(1, 2, 40_001), Int32Array.of(1, 0));
        const x = randomRows(2, 700, 67);
        expectLikeReference(dtype, x, null);
        expectLikeReference(
          dtype,
          x,
          Int32Array.from(x, (_, i) => (i * 101) % x.length),
        );
      });

      it(`${dtype}: no rows are no bytes`, () => {
        expect(encoded(dtype, new Float32Array(0), null, 0, 300)).to.have.length(0);
        expect(decoded(dtype, new Uint8Array(0), 0, 300)).to.have.length(0);
        expect(encoded(dtype, new Float32Array(300), new Int32Array(0), 0, 300)).to.have.length(0);
      });

      it(`${dtype}: nothing beside the own bytes and rows is written, and alignment doesn't matter`, () => {
        for (const hidden of [1, 7, 129, 20_000]) {
          const x = floats(randomRows(6, 3, hidden).flat());
          const expected = encoded(dtype, x, null, 3, hidden);
          for (const offset of [0, 1, 2, 3]) {
            const guarded = new Uint8Array(expected.length + 64).fill(0xa5);
            encodeRows(dtype, x, null, 3, hidden, guarded.subarray(offset + 16, offset + 16 + expected.length));
            expectSame(guarded.subarray(offset + 16, offset + 16 + expected.length), expected, 'bytes');
            guarded.fill(0xa5, offset + 16, offset + 16 + expected.length);
            expect(guarded.every((byte) => byte === 0xa5)).to.equal(true);

            guarded.set(expected, offset + 16);
            const out = new Float32Array(7 * hidden).fill(-1);
            decodeRows(dtype, guarded.subarray(offset + 16, offset + 16 + expected.length), 3, hidden, out, 2);
            expectSame(bits(out.subarray(2 * hidden, 5 * hidden)), bits(decoded(dtype, expected, 3, hidden)), 'values');
            out.fill(-1, 2 * hidden, 5 * hidden);
            expect(out.every((value) => value === -1)).to.equal(true);
          }
        }
      });
    });

    it('memory that threads share serves as any other', () => {
      const values = randomRows(7, 4, 200, 0).flat();
      for (const dtype of WIRE_DTYPES) {
        const x = new Float32Array(new SharedArrayBuffer(4 * values.length));
        x.set(floats(values));
        const out = new Uint8Array(new SharedArrayBuffer(4 * wireRowBytes(dtype, 200)));
        encodeRows(dtype, x, null, 4, 200, out);
        expectSame(out, encoded(dtype, floats(values), null, 4, 200), dtype);
      }
    });

    it('a worker thread gets the same codes', async () => {
      const module = new URL('../../../comm/codec/wire_dtype.js', import.meta.url).href;
      const script = `import('${module}').then(({ encodeRows }) => {
        const out = new Uint8Array(4 + 7);
        encodeRows('fp8', Float32Array.of(1, 2, 3, 4, 5, 6, 7), null, 1, 7, out);
        require('node:worker_threads').parentPort.postMessage(out);
      })`;
      const worker = new Worker(script, { eval: true });
      const out = await new Promise<Uint8Array>((resolve, reject) => {
        worker.once('message', resolve).once('error', reject);
      });
      await worker.terminate();
      expectSame(out, encoded('fp8', Float32Array.of(1, 2, 3, 4, 5, 6, 7), null, 1, 7), 'worker');
    });
  });

  describe('properties', () => {
    const anyBits = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(...ODD_VALUES));
    const rowsOf = (hidden: number) =>
      fc.array(fc.array(anyBits, { minLength: hidden, maxLength: hidden }), { minLength: 1, maxLength: 4 });

    it('any bits in any shape are encoded, decoded and rounded as the reference does', () => {
      const cases = fc
        .tuple(fc.constantFrom(...WIRE_DTYPES), fc.integer({ min: 1, max: 280 }))
        .chain(([dtype, hidden]) => fc.tuple(fc.constant(dtype), rowsOf(hidden)))
        .chain(([dtype, x]) =>
          fc.tuple(fc.constant(dtype), fc.constant(x), fc.option(fc.array(fc.nat(x.length - 1), { maxLength: 6 }))),
        );
      fc.assert(
        fc.property(cases, ([dtype, x, picked]) => {
          expectLikeReference(dtype, x, picked === null ? null : Int32Array.from(picked));
        }),
        { seed: 1, numRuns: 300 },
      );
    });

    it('a second round trip changes at most the last bits, by the rounding of a scale', () => {
      const row = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 300 });
      fc.assert(
        fc.property(fc.constantFrom(...ENCODED), row, (dtype, values) => {
          const once = decoded(
            dtype,
            encoded(dtype, Float32Array.from(values), null, 1, values.length),
            1,
            values.length,
          );
          const twice = decoded(dtype, encoded(dtype, once, null, 1, values.length), 1, values.length);
          twice.forEach((value, i) => {
            if (Number.isFinite(once[i])) expect(Math.abs(value - once[i]!)).to.be.most(2 ** -22 * Math.abs(once[i]!));
          });
        }),
        { seed: 2, numRuns: 300 },
      );
    });
  });

  describe('precision', () => {
    (
      [
        ['bf16', 5e-6],
        ['fp8', 5e-4],
        ['int8', 5e-4],
      ] as const
    ).forEach(([dtype, bound]) => {
      it(`${dtype}: calcDiff of normal values and their round trip is below ${bound}`, () => {
        const random = randomFrom(8);
        const x = Float32Array.from({ length: 64 * 7168 }, () => normal(random));
        const y = new Float32Array(x.length);
        roundTripRows(dtype, x, null, 64, 7168, y, 0);
        expect(calcDiff(x, y)).to.be.within(Number.MIN_VALUE, bound);
      });
    });
  });

  describe('arguments', () => {
    const x = new Float32Array(4 * 130);
    const CASES: readonly [string, () => void][] = [
      ['more rows than x has', () => encoded('fp8', x, null, 5, 130)],
      ['a row beyond x', () => encoded('bf16', x, Int32Array.of(0, 4), 2, 130)],
      ['a negative row', () => encoded('f32', x, Int32Array.of(-1), 1, 130)],
      ['fewer rows named than asked for', () => encoded('int8', x, Int32Array.of(1), 2, 130)],
      ['bytes that are too few', () => encodeRows('fp8', x, null, 2, 130, new Uint8Array(2 * 138 - 1))],
      ['bytes that are too many', () => encodeRows('f32', x, null, 2, 130, new Uint8Array(2 * 520 + 4))],
      ['bytes of another dtype', () => decodeRows('fp8', new Uint8Array(260), 1, 130, x, 0)],
      ['out without room', () => decodeRows('bf16', new Uint8Array(2 * 260), 2, 130, x, 3)],
      ['a negative place in out', () => decodeRows('bf16', new Uint8Array(260), 1, 130, x, -1)],
      ['a round trip without room', () => roundTripRows('int8', x, null, 4, 130, x, 1)],
      ['no channels', () => encodeRows('bf16', x, null, 0, 0, new Uint8Array(0))],
      ['half a channel', () => decodeRows('bf16', new Uint8Array(1), 1, 0.5, x, 0)],
      ['a number of rows that is not one', () => roundTripRows('bf16', x, null, NaN, 130, x, 0)],
    ];
    CASES.forEach(([what, call]) => {
      it(`${what}: refused with what to do`, () => {
        expect(thrown(call, 'INVALID_ARGUMENT').message).to.match(/Rows: .*; give arrays that fit numRows and hidden$/);
      });
    });

    it('a refused call has written nothing', () => {
      const out = new Uint8Array(2 * wireRowBytes('bf16', 130)).fill(0xa5);
      thrown(() => encodeRows('bf16', x, Int32Array.of(0, 9), 2, 130, out), 'INVALID_ARGUMENT');
      expect(out.every((byte) => byte === 0xa5)).to.equal(true);
    });
  });
});

/** DeepEP's measure: 1 − 2Σxy/Σ(x²+y²) of x+1 and y+1, in float64. */
function calcDiff(x: Float32Array, y: Float32Array): number {
  let product = 0;
  let squares = 0;
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i]! + 1, y[i]! + 1];
    product += a * b;
    squares += a * a + b * b;
  }
  return 1 - (2 * product) / squares;
}

function range(start: number, end: number): number[] {
  return Array.from({ length: end - start }, (_, i) => start + i);
}
