import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../compute/base/errors.js';
import {
  convertMatrix,
  floatsOf,
  matrixOf,
  transposedFloats,
  WEIGHT_DTYPES,
  weightRowBytes,
  type WeightDtype,
  type WeightMatrix,
} from '../../../compute/base/weight_matrix.js';
import { errorOf } from '../../kit/rejects.js';
import { randomFrom } from '../../refs/random.js';
import { weightRef } from '../../refs/weight_ref.js';

/** Any bytes are a matrix; they begin at an odd offset. */
function randomMatrix(dtype: WeightDtype, rows: number, columns: number, seed: number): WeightMatrix {
  const random = randomFrom(seed);
  const bytes = Uint8Array.from({ length: 1 + rows * weightRowBytes(dtype, columns) }, () => 256 * random());
  return { dtype, rows, columns, bytes: bytes.subarray(1) };
}

const matrices = fc
  .tuple(fc.constantFrom(...WEIGHT_DTYPES), fc.nat(70), fc.nat(70), fc.nat())
  .map((parts) => randomMatrix(...parts));

describe('weight matrices', () => {
  it('hold the values that their bytes say, straight and transposed, for any shape, type and offset', () => {
    fc.assert(
      fc.property(matrices, (matrix) => {
        const straight = floatsOf(matrix);
        const transposed = transposedFloats(matrix);
        expect([straight.length, transposed.length]).to.deep.equal(Array(2).fill(matrix.rows * matrix.columns));
        for (let row = 0; row < matrix.rows; row++) {
          for (let column = 0; column < matrix.columns; column++) {
            const expected = weightRef(matrix, row, column);
            const got = [straight[row * matrix.columns + column], transposed[column * matrix.rows + row]];
            if (!got.every((value) => Object.is(value, expected)))
              expect.fail(`${matrix.dtype} ${row} ${column}: ${got.join()}`);
          }
        }
      }),
    );
  });

  it('keep the payload of a NaN', () => {
    const bits = Uint32Array.of(0x7f800001, 0xffc12345);
    const matrix = matrixOf(new Float32Array(bits.buffer), 1, 2);
    for (const values of [floatsOf(matrix), transposedFloats(matrix)]) {
      expect([...new Uint32Array(values.buffer)]).to.deep.equal([...bits]);
    }
  });

  it('convert from bf16 exactly, and to bf16 by rounding to nearest, ties to even', () => {
    const values = Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -7, 3e38, 0.9 * 2 ** -133);
    const rounded = convertMatrix(matrixOf(values, 2, 3), 'bf16');
    expect(rounded).to.deep.include({ dtype: 'bf16', rows: 2, columns: 3 });
    const expected = [1, 1, 1 + 2 ** -6, -1 - 2 ** -7, 1.765625 * 2 ** 127, 2 ** -133];
    expect([...floatsOf(rounded)]).to.deep.equal(expected);
    const back = convertMatrix(rounded, 'f32');
    expect(floatsOf(back)).to.deep.equal(floatsOf(rounded));
    expect(convertMatrix(back, 'bf16').bytes).to.deep.equal(rounded.bytes);
  });

  it('keep NaN and infinity as bf16, whatever the payload', () => {
    const bits = Uint32Array.of(0xffffffff, 0x7fffffff, 0x7f800001, 0xff812345, 0x7fc00000, 0x7f800000, 0xff800000);
    const matrix = convertMatrix(matrixOf(new Float32Array(bits.buffer), 1, bits.length), 'bf16');
    expect([...new Uint16Array(matrix.bytes.slice().buffer)]).to.deep.equal([
      ...[0xffff, 0x7fff, 0x7fc0, 0xffc1],
      ...[0x7fc0, 0x7f80, 0xff80],
    ]);
  });

  it('are not made int8 here', async () => {
    const error = await errorOf(ExpertError, () => convertMatrix(matrixOf(new Float32Array(4), 2, 2), 'int8'));
    expect(error.message).to.match(/^INVALID_ARGUMENT: int8 weights need the kernels/);
  });
});
