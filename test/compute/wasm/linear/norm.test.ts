import { expect } from 'chai';
import fc from 'fast-check';
import { KernelNorm } from '../../../../compute/wasm/memory/kernel_norm.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { layerNormRef, normRef } from '../../../refs/attention_ref.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const { fround } = Math;
const EPS = 1e-6;
const PAD = 123;

interface Norm {
  readonly y: Float32Array;
  readonly stride: number;
}

/** Rows of weight's length, every `stride` floats; in place where asked. */
function norm(
  values: KernelValues,
  x: Float32Array,
  weight: Float32Array,
  stride: number,
  { isInPlace = false, bias = null }: { readonly isInPlace?: boolean; readonly bias?: Float32Array | null } = {},
): Norm {
  const width = weight.length;
  const numRows = x.length / width;
  const from = values.rows(x, width, stride, PAD);
  const to = isInPlace
    ? from
    : values.rows(
        x.map(() => NaN),
        width,
        stride,
        PAD,
      );
  const held = new KernelNorm(values.memory, { weight, bias, eps: EPS });
  values.memory.kernels.applyNorm(from, numRows, width, stride, held.address, to, stride);
  held.dispose();
  return { y: values.memory.floats(to, numRows * stride).slice(), stride };
}

const rowsOf = ({ y, stride }: Norm, width: number): number[] => [...y].filter((_, i) => i % stride < width);

const shapes = fc.record({
  numRows: fc.nat(3),
  width: fc.integer({ min: 1, max: 70 }),
  gap: fc.nat(9),
  seed: fc.nat(),
  exponent: fc.integer({ min: -20, max: 18 }),
});

describe('norm kernel', () => {
  const values = new KernelValues();
  afterEach(() => values.free());

  it('is the float64 reference rounded to float32, for any widths and strides, and leaves padding as it is', () => {
    fc.assert(
      fc.property(shapes, ({ numRows, width, gap, seed, exponent }) => {
        const random = randomFrom(seed);
        const x = randomValues(random, numRows * width, 10 ** exponent);
        const weight = randomValues(random, width, 2);
        const bias = randomValues(random, width);
        const rows = Array.from({ length: numRows }, (_, row) => [...x.subarray(row * width, (row + 1) * width)]);
        const check = (result: Norm, expected: number[], error: number): void => {
          const near = (value: number): number => error * Math.max(1e-30, Math.abs(value));
          rowsOf(result, width).forEach((y, i) => expect(y).to.be.closeTo(expected[i]!, near(expected[i]!)));
          expect([...result.y].filter((_, i) => i % result.stride >= width).every((y) => y === PAD)).to.equal(true);
        };
        const rms = rows.flatMap((row) => normRef(weight, row, EPS));
        const layer = rows.flatMap((row) => layerNormRef(weight, bias, row, EPS));
        check(norm(values, x, weight, width + gap), rms, 6e-8);
        check(norm(values, x, weight, width + gap, { bias }), layer, 1e-7);
        values.free();
      }),
      { numRuns: 200 },
    );
  });

  it('gives the same bits in place, and for a row whatever the others are', () => {
    const random = randomFrom(3);
    for (const width of [1, 4, 7, 64]) {
      const x = randomValues(random, 5 * width);
      const weight = randomValues(random, width);
      for (const bias of [null, randomValues(random, width)]) {
        const { y } = norm(values, x, weight, width, { bias });
        expect(isSameBits(norm(values, x, weight, width, { bias, isInPlace: true }).y, y)).to.equal(true);
        const third = norm(values, x.slice(2 * width, 3 * width), weight, width, { bias }).y;
        expect(isSameBits(third, y.slice(2 * width, 3 * width))).to.equal(true);
      }
    }
  });

  it('NaN and infinity make NaN of their own row only, and a row of zeros stays zero', () => {
    for (const bad of [NaN, Infinity]) {
      const rows = [
        [0, 0, 0, 0, 0],
        [1, bad, 2, 3, 4],
        [1, 1, 1, 1, 1],
      ];
      const result = rowsOf(norm(values, Float32Array.from(rows.flat()), new Float32Array(5).fill(2), 8), 5);
      expect(result.slice(0, 5)).to.deep.equal([0, 0, 0, 0, 0]);
      expect(result[6]).to.be.NaN;
      expect(result.slice(10)).to.deep.equal(new Array(5).fill(fround(2 / Math.sqrt(1 + EPS))));
    }
  });
});
