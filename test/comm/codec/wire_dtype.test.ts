import { expect } from 'chai';
import fc from 'fast-check';
import { Worker } from 'node:worker_threads';
import { WIRE_DTYPES, decodeRows, encodeRows, roundTripRows, wireRowBytes } from '../../../comm/codec/wire_dtype.js';
import { thrown } from '../../kit/errors.js';
import { randomFrom } from '../../refs/random.js';
import {
  ODD_VALUES,
  floats,
  bits,
  expectSame,
  encoded,
  decoded,
  expectLikeReference,
  randomRows,
  normal,
  ENCODED,
} from '../../kit/comm/wire_values.js';

describe('wire dtypes', () => {
  it('a row has the bytes of its values and of one scale per 128 channels begun', () => {
    const bytesOf = (hidden: number): number[] => WIRE_DTYPES.map((dtype) => wireRowBytes(dtype, hidden));
    expect(bytesOf(1)).to.deep.equal([4, 2, 5, 5]);
    expect(bytesOf(128)).to.deep.equal([512, 256, 132, 132]);
    expect(bytesOf(129)).to.deep.equal([516, 258, 137, 137]);
    expect(bytesOf(7168)).to.deep.equal([28672, 14336, 7392, 7392]);
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
