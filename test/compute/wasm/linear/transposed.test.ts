import { expect } from 'chai';
import fc from 'fast-check';
import { CHOICE_DTYPES } from '../../../../compute/wasm/memory/resident_dtype.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const roundUp4 = (n: number): number => 4 * Math.ceil(n / 4);
const PAD = 7;

describe('linearTransposed kernel', () => {
  const values = new KernelValues();
  afterEach(() => values.free());

  for (const dtype of CHOICE_DTYPES) {
    it(`is x·W, a row's bits whatever the number of rows: ${dtype}`, () => {
      const sizes = fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 90 }), fc.nat());
      fc.assert(
        fc.property(sizes, ([numRows, rows, columns, seed]) => {
          const random = randomFrom(seed);
          const matrix = values.matrix(randomValues(random, rows * columns), rows, columns, dtype);
          const x = randomValues(random, numRows * rows);
          const width = roundUp4(columns);
          const run = (from: Float32Array, count: number): Float32Array => {
            const y = values.rows(new Float32Array(count * width), width, width + 5, PAD);
            const stride = rows + 3;
            const { linearTransposed } = values.memory.kernels;
            linearTransposed(values.rows(from, rows, stride, NaN), count, stride, matrix.address, y, width + 5, width);
            expect(values.readRows(y + 4 * width, count, 5, width + 5).every((value) => value === PAD)).to.equal(true);
            return values.readRows(y, count, width, width + 5);
          };
          const y = run(x, numRows);
          const w = matrix.toFloat32();
          for (let row = 0; row < numRows; row++) {
            const xRow = x.slice(row * rows, (row + 1) * rows);
            for (let c = 0; c < width; c++) {
              const expected = xRow.reduce((sum, value, n) => sum + (c < columns ? value * w[n * columns + c]! : 0), 0);
              expect(y[row * width + c]).to.be.closeTo(expected, 5e-6);
            }
            expect(isSameBits(run(xRow, 1), y.slice(row * width, (row + 1) * width))).to.equal(true);
          }
          values.free();
        }),
        { numRuns: 60 },
      );
    });
  }
});
