import { expect } from 'chai';
import fc from 'fast-check';
import { padded, CHOICE_DTYPES } from '../../../../compute/wasm/memory/resident_dtype.js';
import { KernelMatrix } from '../../../../compute/wasm/memory/kernel_matrix.js';
import { f32Matrix } from '../../../kit/kernels/kernel_rows.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { linearRef } from '../../../refs/linear_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

describe('gate of shared experts', () => {
  const values = new KernelValues();
  const { memory } = values;
  afterEach(() => values.free());

  /** `x` and `y`: rows of `width`. What lies between the rows of y must stay. */
  function gated(x: Float32Array, y: Float32Array, gate: KernelMatrix, width: number): Float32Array {
    const numRows = y.length / width;
    const stride = padded(width) + 32;
    const yAt = values.rows(y, width, stride, 7);
    memory.kernels.gateRows(
      ...[values.rows(x, width, padded(width)), numRows, gate.address, values.floats(numRows)],
      ...([yAt, width, stride] as const),
    );
    const all = memory.floats(yAt, numRows * stride);
    const isKept = (value: number, i: number): boolean => i % stride < width || value === 7;
    expect(all.every(isKept)).to.equal(true);
    return Float32Array.from(y, (_, i) => all[Math.floor(i / width) * stride + (i % width)]!);
  }

  it('multiplies each row with the sigmoid of its logit, and a row has the same bits alone and among others', () => {
    const size = fc.integer({ min: 1, max: 80 });
    fc.assert(
      fc.property(size, fc.integer({ max: 12, min: 0 }), fc.constantFrom(...CHOICE_DTYPES), (width, numRows, dtype) => {
        const random = randomFrom(width);
        const gate = KernelMatrix.from(memory, f32Matrix(1, width, randomValues(random, width)), dtype);
        const [x, y] = [randomValues(random, numRows * width, 2), randomValues(random, numRows * width)];
        const got = gated(x, y, gate, width);
        const shares = linearRef(x, gate.toFloat32(), width).map((logit) => 1 / (1 + Math.exp(-logit)));
        expect(
          largestDifference(
            got,
            Array.from(y, (value, i) => value * shares[Math.floor(i / width)]!),
          ),
        ).to.be.below(1e-5);
        for (let row = 0; row < numRows; row++) {
          const [from, to] = [row * width, (row + 1) * width];
          const alone = gated(x.slice(from, to), y.slice(from, to), gate, width);
          expect(isSameBits(alone, got.slice(from, to))).to.equal(true);
        }
        gate.dispose();
        values.free();
      }),
      { numRuns: 60 },
    );
  });
});
