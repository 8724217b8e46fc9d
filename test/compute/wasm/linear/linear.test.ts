import { expect } from 'chai';
import fc from 'fast-check';
import { KernelMatrix } from '../../../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { ACTIVATIONS, PLAIN_KERNELS } from '../../../../compute/wasm/memory/kernel_settings.js';
import { RESIDENT_DTYPES } from '../../../../compute/wasm/memory/resident_dtype.js';
import { residentMatrix } from '../../../kit/kernels/coded_matrix.js';
import { f32Matrix, placeRows } from '../../../kit/kernels/kernel_rows.js';
import { linearRef } from '../../../refs/linear_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

let memory = new KernelMemory();
/** Columns behind the outputs that must stay as they are. */
const GAP = 3;
const UNTOUCHED = 12345;

function linear(x: Float32Array, weight: KernelMatrix): Float32Array {
  const numRows = x.length / weight.columns;
  const stride = weight.rows + GAP;
  const xAt = placeRows(memory, x, weight.columns);
  const yAt = memory.allocate(4 * stride * numRows + 64);
  const y = memory.floats(yAt, stride * numRows + 16).fill(UNTOUCHED);
  memory.kernels.linear(xAt, numRows, weight.address, yAt, stride);
  expect(y.every((value, i) => (i % stride < weight.rows && i < stride * numRows) || value === UNTOUCHED)).to.equal(
    true,
  );
  const out = y.subarray(0, stride * numRows).filter((_, i) => i % stride < weight.rows);
  memory.free(xAt);
  memory.free(yAt);
  return out;
}

/** Widths around the padding; rows of W around the panels. */
const shape = fc.record({
  numRows: fc.integer({ min: 0, max: 20 }),
  rows: fc.oneof(fc.integer({ min: 1, max: 35 }), fc.constantFrom(47, 48, 64, 65)),
  columns: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(96, 128, 255, 1000)),
  seed: fc.nat(),
});

const GROUP = 32;
/** The largest code of activations. */
const MOST = { int16: 32767, int8: 127 } as const;
const WHOLE_DTYPES = ['int8', 'int4', 'uint4'] as const;

/** Rows rounded to multiples of a share of each group's largest magnitude. */
function roundedRows(x: Float32Array, columns: number, most: number): number[] {
  return Array.from(x, (value, i) => {
    const largest = Math.max(...groupOf(x, columns, i).map(Math.abs));
    const scale = Math.fround(largest / most);
    return scale === 0 ? 0 : Math.fround(nearestEven(Math.fround(value / scale)) * scale);
  });
}

/** Ties to even. */
function nearestEven(value: number): number {
  const near = Math.round(value);
  return Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : near;
}

/** Half a step of the group that a value is in, and what the scale itself is rounded by. */
const stepOf = (x: Float32Array, columns: number, index: number, most: number): number =>
  // A code is up to so many steps: its quotient and its product round by up to so many times 2⁻²⁴ of a step each.
  (Math.max(...groupOf(x, columns, index).map(Math.abs)) / (2 * most)) * (1 + 4 * most * 2 ** -24);

function groupOf(x: Float32Array, columns: number, index: number): Float32Array {
  const row = Math.floor(index / columns);
  const first = row * columns + GROUP * Math.floor((index % columns) / GROUP);
  return x.subarray(first, Math.min(first + GROUP, (row + 1) * columns));
}

for (const fma of [false, true]) {
  describe(`linear kernel, ${fma ? 'fused' : 'plain'}`, () => {
    before(() => (memory = new KernelMemory(undefined, { ...PLAIN_KERNELS, fma })));
    afterEach(() => expect(memory.usedBytes, 'bytes left behind').to.equal(0));

    for (const dtype of RESIDENT_DTYPES) {
      it(`agrees with the float64 reference on the resident weights (${dtype})`, () => {
        fc.assert(
          fc.property(shape, ({ numRows, rows, columns, seed }) => {
            const random = randomFrom(seed);
            const weight = residentMatrix(memory, dtype, rows, columns, randomValues(random, rows * columns));
            const x = randomValues(random, numRows * columns);
            const expected = linearRef(x, weight.toFloat32(), columns);
            expect(largestDifference(linear(x, weight), expected)).to.be.below(3e-7 * columns + 1e-6);
            weight.dispose();
          }),
          { numRuns: 150 },
        );
      });

      it(`is the f32 kernel on the decoded weights, bit for bit (${dtype})`, () => {
        for (const [rows, columns] of [
          [1, 5],
          [6, 32],
          [9, 100],
          [17, 2048],
          [6, 16416],
        ] as const) {
          const values = randomValues(randomFrom(rows), rows * columns);
          const weight = residentMatrix(memory, dtype, rows, columns, values);
          const decoded = KernelMatrix.from(memory, f32Matrix(rows, columns, weight.toFloat32()), 'f32');
          for (const numRows of [1, 2, 3, 4, 5, 9]) {
            const x = randomValues(randomFrom(numRows), numRows * columns);
            expect(isSameBits(linear(x, weight), linear(x, decoded)), `${rows} × ${columns}`).to.equal(true);
          }
          weight.dispose();
          decoded.dispose();
        }
      });

      it(`a row has the same bits among 1 to 70 rows, wherever it stands (${dtype})`, () => {
        // 24 of the longer rows are a block (linear.as.ts).
        for (const [rows, columns] of [
          [7, 40],
          [5, 8200],
        ] as const) {
          const random = randomFrom(columns);
          const weight = residentMatrix(memory, dtype, rows, columns, randomValues(random, rows * columns));
          const x = randomValues(random, 70 * columns);
          const all = linear(x, weight);
          for (let numRows = 1; numRows < 70; numRows += columns > 100 ? 9 : 1) {
            for (const from of new Set([0, 70 - numRows, Math.floor((70 - numRows) / 3)])) {
              const part = linear(x.slice(from * columns, (from + numRows) * columns), weight);
              expect(
                isSameBits(part, all.subarray(from * rows, (from + numRows) * rows)),
                `${numRows} from ${from}`,
              ).to.equal(true);
            }
          }
          weight.dispose();
        }
      });

      it(`a tile of any size gives the same bits (${dtype})`, () => {
        for (const [rows, columns] of [
          [37, 70],
          [16, 1100],
        ] as const) {
          const random = randomFrom(rows);
          const weight = residentMatrix(memory, dtype, rows, columns, randomValues(random, rows * columns));
          for (const numRows of [1, 2, 5, 6, 11, 40]) {
            const x = randomValues(random, numRows * columns);
            const [two, ...others] = [2, 4, 6].map((tile) => {
              memory.kernels.setTile(tile);
              return linear(x, weight);
            });
            for (const other of others) expect(isSameBits(other, two!), `${numRows} rows`).to.equal(true);
          }
          memory.kernels.setTile(2);
          weight.dispose();
        }
      });

      it(`an output has the same bits whatever other rows W has (${dtype})`, () => {
        const columns = 77;
        const values = randomValues(randomFrom(3), 19 * columns);
        const x = randomValues(randomFrom(4), 6 * columns);
        const whole = residentMatrix(memory, dtype, 19, columns, values);
        const all = linear(x, whole);
        for (let rows = 1; rows < 19; rows++) {
          const first = residentMatrix(memory, dtype, rows, columns, values.slice(0, rows * columns));
          expect(
            isSameBits(
              linear(x, first),
              all.filter((_, i) => i % 19 < rows),
            ),
            `${rows} rows`,
          ).to.equal(true);
          first.dispose();
        }
        whole.dispose();
      });
    }

    it('NaN and infinity reach the outputs of their row, and no other', () => {
      const [rows, columns] = [6, 45];
      const weight = KernelMatrix.from(
        memory,
        f32Matrix(rows, columns, randomValues(randomFrom(5), rows * columns)),
        'f32',
      );
      const x = randomValues(randomFrom(6), 5 * columns);
      const before = linear(x, weight);
      for (const [bad, isRight] of [
        [NaN, Number.isNaN],
        [Infinity, (y: number) => Math.abs(y) === Infinity],
      ] as const) {
        const y = linear(x.with(2 * columns + 44, bad), weight);
        y.forEach((value, i) => {
          if (Math.floor(i / rows) === 2) expect(isRight(value), `${value}`).to.equal(true);
          else expect(value).to.equal(before[i]);
        });
      }
      weight.dispose();
    });

    it('sums that overflow are infinite, and subnormal products count', () => {
      const weight = KernelMatrix.from(memory, f32Matrix(2, 2, Float32Array.of(3e38, 3e38, 1e-30, 0)), 'f32');
      expect([...linear(Float32Array.of(2, 2, 1e-10, 0), weight)]).to.deep.equal([
        Infinity,
        Math.fround(2e-30),
        Math.fround(Math.fround(1e-10) * Math.fround(3e38)),
        Math.fround(Math.fround(1e-10) * Math.fround(1e-30)),
      ]);
      weight.dispose();
    });

    for (const activations of ['int16', 'int8'] as const) {
      for (const dtype of WHOLE_DTYPES) {
        describe(`with rows rounded to ${activations} beside ${dtype}`, () => {
          const most = MOST[activations];
          before(() => memory.kernels.setActivations(ACTIVATIONS.indexOf(activations)));
          after(() => memory.kernels.setActivations(0));

          it('is the product of the rounded rows, and as far from the exact one as rounding takes it', () => {
            fc.assert(
              fc.property(shape, ({ numRows, rows, columns, seed }) => {
                const random = randomFrom(seed);
                const weight = KernelMatrix.from(
                  memory,
                  f32Matrix(rows, columns, randomValues(random, rows * columns)),
                  dtype,
                );
                const x = randomValues(random, numRows * columns);
                const w = weight.toFloat32();
                const y = linear(x, weight);
                const rounded = roundedRows(x, columns, most);
                expect(largestDifference(y, linearRef(rounded, w, columns))).to.be.below(3e-7 * columns + 1e-6);
                const steps = rounded.map((value, i) => Math.abs(value - x[i]!));
                const allowed = linearRef(steps, w.map(Math.abs), columns);
                linearRef(x, w, columns).forEach((exact, i) =>
                  expect(Math.abs(y[i]! - exact)).to.be.at.most(allowed[i]! + 3e-7 * columns + 1e-6),
                );
                for (const [i, step] of steps.entries()) expect(step).to.be.at.most(stepOf(x, columns, i, most));
                weight.dispose();
              }),
              { numRuns: 40 },
            );
          });

          it('a row has the same bits among 1 to 70 rows, wherever it stands, and whatever other rows W has', () => {
            // 32 rows are a block, and of them about a thousand inputs (whole_linear.as.ts).
            for (const columns of [40, 2100]) {
              const rows = 37;
              const values = randomValues(randomFrom(columns), rows * columns);
              const weight = KernelMatrix.from(memory, f32Matrix(rows, columns, values), dtype);
              const few = KernelMatrix.from(memory, f32Matrix(17, columns, values.slice(0, 17 * columns)), dtype);
              const x = randomValues(randomFrom(1), 70 * columns);
              const all = linear(x, weight);
              for (const numRows of [1, 2, 3, 4, 7, 31, 33, 64, 69]) {
                for (const from of new Set([0, 70 - numRows])) {
                  const part = linear(x.slice(from * columns, (from + numRows) * columns), weight);
                  const expected = all.subarray(from * rows, (from + numRows) * rows);
                  expect(isSameBits(part, expected), `${numRows} from ${from}`).to.equal(true);
                }
              }
              expect(
                isSameBits(
                  linear(x, few),
                  all.filter((_, i) => i % rows < 17),
                ),
              ).to.equal(true);
              weight.dispose();
              few.dispose();
            }
          });

          it('NaN and infinity make no number of the outputs of their row, and change no other; zeros stay zeros', () => {
            const [rows, columns] = [20, 45];
            const weight = KernelMatrix.from(
              memory,
              f32Matrix(rows, columns, randomValues(randomFrom(5), rows * columns)),
              dtype,
            );
            const x = randomValues(randomFrom(6), 5 * columns).fill(0, 0, columns);
            const before = linear(x, weight);
            expect([...before.subarray(0, rows)]).to.deep.equal(new Array(rows).fill(0));
            for (const bad of [NaN, Infinity, -Infinity]) {
              linear(x.with(2 * columns + 44, bad), weight).forEach((value, i) => {
                if (Math.floor(i / rows) === 2) expect(Number.isFinite(value), `${value}`).to.equal(false);
                else expect(value).to.equal(before[i]);
              });
            }
            weight.dispose();
          });

          it('f32, bf16 and fp8 are computed as ever', () => {
            for (const dtype of ['f32', 'bf16', 'fp8'] as const) {
              const values = randomValues(randomFrom(3), 20 * 70);
              const weight = KernelMatrix.from(memory, f32Matrix(20, 70, values), dtype);
              const x = randomValues(randomFrom(4), 3 * 70);
              const rounding = linear(x, weight);
              memory.kernels.setActivations(0);
              expect(isSameBits(linear(x, weight), rounding), dtype).to.equal(true);
              memory.kernels.setActivations(ACTIVATIONS.indexOf(activations));
              weight.dispose();
            }
          });
        });
      }
    }
  });
}

describe('products of whole numbers', () => {
  it('are the same whole numbers in the plain and the fused module', () => {
    for (const activations of ['int16', 'int8'] as const) {
      const both = [false, true].map((fma) => new KernelMemory(undefined, { ...PLAIN_KERNELS, fma, activations }));
      for (const dtype of WHOLE_DTYPES) {
        const values = randomValues(randomFrom(8), 40 * GROUP);
        const x = randomValues(randomFrom(9), 7 * GROUP);
        const [plain, fused] = both.map((each) => {
          memory = each;
          const weight = KernelMatrix.from(memory, f32Matrix(40, GROUP, values), dtype);
          const y = linear(x, weight); // of one group: a product of a whole number with a scale, rounded once
          weight.dispose();
          return y;
        });
        expect(isSameBits(plain!, fused!), `${dtype} × ${activations}`).to.equal(true);
      }
    }
  });
});
