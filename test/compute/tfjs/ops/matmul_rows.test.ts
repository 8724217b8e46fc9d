/**
 * What the bitwise guarantee stands on: in a plain 2-D product, an element's bits depend on its row and its column alone.
 * Holds on wasm and cpu; other backends choose their algorithm by the shape.
 */
import { expect } from 'chai';
import { matMul, rowsOf, selectBackend, tidy, toTensor, type BackendName } from '../../../../compute/tfjs/tf.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const BACKENDS_THAT_HOLD: readonly BackendName[] = ['wasm', 'cpu'];
const INNER = [16, 48, 64, 96, 192, 512];
const MAX_ROWS = 40;
const NUM_COLUMNS = 35;

async function product(a: Float32Array, b: Float32Array, inner: number): Promise<Float32Array> {
  const y = tidy(() => matMul(toTensor(a, [a.length / inner, inner]), toTensor(b, [inner, b.length / inner])));
  const values = await rowsOf(y);
  y.dispose();
  return values;
}

/** The first columns of a row-major matrix of `width` columns. */
const firstColumns = (matrix: Float32Array, width: number, count: number): Float32Array =>
  matrix.filter((_, i) => i % width < count);

for (const backend of BACKENDS_THAT_HOLD) {
  describe(`2-D matMul on ${backend}`, () => {
    before(() => selectBackend(backend));
    after(() => selectBackend('wasm'));

    for (const inner of INNER) {
      const random = randomFrom(inner);
      const a = randomValues(random, MAX_ROWS * inner);
      const b = randomValues(random, inner * NUM_COLUMNS);

      it(`rows of K = ${inner} have the same bits in batches of 1 to ${MAX_ROWS}`, async () => {
        const whole = await product(a, b, inner);
        for (let numRows = 1; numRows < MAX_ROWS; numRows++) {
          const part = await product(a.slice(0, numRows * inner), b, inner);
          expect(isSameBits(part, whole.subarray(0, part.length)), `${numRows} rows`).to.equal(true);
          const last = await product(a.slice((MAX_ROWS - numRows) * inner), b, inner);
          expect(isSameBits(last, whole.subarray(whole.length - last.length)), `last ${numRows} rows`).to.equal(true);
        }
      });

      it(`columns of K = ${inner} have the same bits whatever the number of columns`, async () => {
        const rows = a.slice(0, 7 * inner);
        const whole = await product(rows, b, inner);
        for (let numColumns = 1; numColumns < NUM_COLUMNS; numColumns++) {
          const part = await product(rows, firstColumns(b, NUM_COLUMNS, numColumns), inner);
          expect(isSameBits(part, firstColumns(whole, NUM_COLUMNS, numColumns)), `${numColumns} columns`).to.equal(
            true,
          );
        }
      });

      it(`a tail of zeros in K = ${inner} changes no bit`, async () => {
        const rows = a.slice(0, 5 * inner);
        for (const numUsed of [1, 2, 3, 5, inner - 1]) {
          const padded = rows.map((value, i) => (i % inner < numUsed ? value : 0));
          const short = await product(firstColumns(rows, inner, numUsed), b.slice(0, numUsed * NUM_COLUMNS), numUsed);
          expect(isSameBits(short, await product(padded, b, inner)), `${numUsed} used`).to.equal(true);
        }
      });
    }
  });
}
