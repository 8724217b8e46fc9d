import { expect } from 'chai';
import { roundGroup } from '../../../../compute/base/code_rounding.js';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelMatrix } from '../../../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { CHOICE_DTYPES, residentBytes, type ResidentDtype } from '../../../../compute/wasm/memory/resident_dtype.js';
import {
  floatsOf,
  weightRowBytes,
  type WeightDtype,
  type WeightMatrix,
} from '../../../../compute/base/weight_matrix.js';
import { codedMatrix } from '../../../kit/kernels/coded_matrix.js';
import { errorOf } from '../../../kit/rejects.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';
import { residentRef } from '../../../refs/resident_ref.js';
import { bf16Of, bitsOf, floatOf } from '../../../refs/wire_dtype_ref.js';

/** With and without padding, several rows per staged piece and several pieces per row. */
const SHAPES: readonly (readonly [rows: number, columns: number])[] = [
  [1, 1],
  [3, 31],
  [300, 32],
  [5, 33],
  [7, 96],
  [3, 4095],
  [3, 4096],
  [2, 8193],
  [2, 12288],
];

/** A checkpoint's matrix whose bytes begin at an odd offset. */
function weightMatrix(dtype: WeightDtype, rows: number, columns: number, values: ArrayLike<number>): WeightMatrix {
  const size = dtype === 'f32' ? 4 : 2;
  const buffer = new Uint8Array(1 + rows * columns * size);
  const view = new DataView(buffer.buffer, 1);
  for (let i = 0; i < rows * columns; i++) {
    if (dtype === 'f32') view.setFloat32(4 * i, values[i]!, true);
    else view.setUint16(2 * i, bf16Of(bitsOf(values[i]!)), true);
  }
  return { dtype, rows, columns, bytes: buffer.subarray(1) };
}

/** What a matrix of `dtype` should hold of a checkpoint's values. */
function expectedOf(source: WeightDtype, dtype: ResidentDtype, columns: number, values: Float32Array): Float32Array {
  const stored = residentRef(values, source);
  const rows = Array.from({ length: values.length / columns }, (_, row) =>
    residentRef(stored.slice(row * columns, (row + 1) * columns), dtype),
  );
  return Float32Array.from(rows.flat());
}

const rowsOf = (weights: WeightMatrix, from: number, to: number): WeightMatrix => {
  const rowBytes = weights.bytes.length / weights.rows;
  return { ...weights, rows: to - from, bytes: weights.bytes.subarray(from * rowBytes, to * rowBytes) };
};

describe('resident matrices', () => {
  let memory: KernelMemory;
  before(() => (memory = new KernelMemory()));
  afterEach(() => expect(memory.usedBytes, 'bytes left behind').to.equal(0));

  for (const source of ['f32', 'bf16'] as const) {
    for (const dtype of CHOICE_DTYPES) {
      it(`${source} → ${dtype} holds what the slow reference holds, whole and by parts`, () => {
        for (const [rows, columns] of SHAPES) {
          const values = randomValues(randomFrom(rows * columns), rows * columns, 0.3);
          const weights = weightMatrix(source, rows, columns, values);
          const expected = expectedOf(source, dtype, columns, values);
          const whole = KernelMatrix.from(memory, weights, dtype);
          expect(isSameBits(whole.toFloat32(), expected), `${rows} × ${columns}`).to.equal(true);
          const parts = new KernelMatrix(memory, rows, columns, dtype);
          expect(parts.toFloat32().every((value) => value === 0)).to.equal(true);
          for (const [from, to] of [
            [Math.floor(rows / 2), rows],
            [0, Math.floor(rows / 2)],
            [0, 0],
          ] as const)
            parts.set(rowsOf(weights, from, to), from);
          expect(isSameBits(parts.toFloat32(), expected), `${rows} × ${columns} by parts`).to.equal(true);
          whole.dispose();
          parts.dispose();
        }
      });
    }
  }

  for (const dtype of CHOICE_DTYPES) {
    it(`rows of ${dtype} that are read and written elsewhere are the same, and the padding stays zero`, () => {
      for (const [rows, columns] of SHAPES) {
        const values = randomValues(randomFrom(rows), rows * columns);
        const from = KernelMatrix.from(memory, weightMatrix('f32', rows, columns, values), dtype);
        const to = new KernelMatrix(memory, rows, columns, dtype);
        const middle = Math.ceil(rows / 2);
        const bytes = from.readRows(0, middle);
        expect(bytes.length).to.equal(middle * weightRowBytes(dtype, columns));
        to.writeRows(middle, from.readRows(middle, rows));
        const odd = new Uint8Array(bytes.length + 3);
        odd.set(bytes, 3);
        to.writeRows(0, odd.subarray(3));
        expect(isSameBits(to.toFloat32(), from.toFloat32())).to.equal(true);
        const all = (matrix: KernelMatrix): Buffer =>
          Buffer.from(memory.bytes(matrix.address + 64, residentBytes(dtype, rows, columns)));
        expect(all(to).equals(all(from)), `${rows} × ${columns}`).to.equal(true);
        from.dispose();
        to.dispose();
      }
    });
  }

  it('int8 rows are a matrix of weights too: taken as they are, or decoded and rounded anew', () => {
    const [rows, columns] = [5, 70];
    const numbers = randomValues(randomFrom(3), rows * columns);
    const first = KernelMatrix.from(memory, weightMatrix('f32', rows, columns, numbers), 'int8');
    const weights: WeightMatrix = { dtype: 'int8', rows, columns, bytes: first.readRows(0, rows) };
    expect(isSameBits(floatsOf(weights), first.toFloat32())).to.equal(true);
    for (const dtype of CHOICE_DTYPES) {
      const matrix = KernelMatrix.from(memory, weights, dtype);
      const values = first.toFloat32();
      const expected = dtype === 'int8' ? values : expectedOf('f32', dtype, columns, values);
      expect(isSameBits(matrix.toFloat32(), expected), dtype).to.equal(true);
      matrix.dispose();
    }
    first.dispose();
  });

  for (const dtype of ['int8', 'fp8', 'int4', 'fp4', 'uint4'] as const) {
    it(`rows of ${dtype} are held as a checkpoint has them: every code, whole and by parts`, () => {
      for (const [rows, columns] of SHAPES) {
        const weights = codedMatrix(dtype, rows, columns, randomValues(randomFrom(rows), rows * columns));
        const matrix = KernelMatrix.from(memory, weights, dtype);
        expect(isSameBits(matrix.toFloat32(), floatsOf(weights)), `${rows} × ${columns}`).to.equal(true);
        expect(Buffer.from(matrix.readRows(0, rows)).equals(Buffer.from(weights.bytes))).to.equal(true);
        const parts = new KernelMatrix(memory, rows, columns, dtype);
        const middle = Math.floor(rows / 2);
        parts.set(rowsOf(weights, middle, rows), middle);
        parts.set(rowsOf(weights, 0, middle), 0);
        expect(Buffer.from(parts.readRows(0, rows)).equals(Buffer.from(weights.bytes))).to.equal(true);
        matrix.dispose();
        parts.dispose();
      }
    });
  }

  it('a NaN of FP8 is NaN, and codes of other kinds come from nowhere else', async () => {
    const bytes = new Uint8Array(36).fill(0xff);
    new DataView(bytes.buffer).setFloat32(0, 1, true);
    const matrix = KernelMatrix.from(memory, { dtype: 'fp8', rows: 1, columns: 32, bytes }, 'fp8');
    expect(matrix.toFloat32().every(Number.isNaN)).to.equal(true);
    matrix.dispose();
    const floats = weightMatrix('f32', 1, 32, new Float32Array(32));
    const error = await errorOf(ExpertError, () => KernelMatrix.from(memory, floats, 'fp4'));
    expect(error.message).to.equal(
      "INVALID_ARGUMENT: f32 weights can't become fp4; keep them as one of f32, bf16, fp8, int8, int4, uint4",
    );
  });

  it('f32 → bf16 rounds ties to even, overflows to infinity and keeps NaN', () => {
    const values = [1.00390625, 1.01171875, 3.4e38, -3.4e38, NaN, Infinity, -Infinity, -0, 1e-45, floatOf(0x7f7f7fff)];
    const matrix = KernelMatrix.from(memory, weightMatrix('f32', 1, values.length, values), 'bf16');
    const expected = [1, 1.015625, Infinity, -Infinity, NaN, Infinity, -Infinity, -0, 0, floatOf(0x7f7f0000)];
    expect(isSameBits(matrix.toFloat32(), Float32Array.from(expected))).to.equal(true);
    matrix.dispose();
  });

  it('no NaN becomes a number as bf16, whatever its payload', () => {
    const bits = Uint32Array.of(0x7f800001, 0x7fffffff, 0xff800001, 0xffffffff);
    const weights: WeightMatrix = { dtype: 'f32', rows: 1, columns: 4, bytes: new Uint8Array(bits.buffer) };
    const matrix = KernelMatrix.from(memory, weights, 'bf16');
    expect([...matrix.toFloat32()]).to.deep.equal([NaN, NaN, NaN, NaN]);
    matrix.dispose();
  });

  it('groups of the least and the largest numbers get the codes that files get', () => {
    const numbers = [0, 2 ** -149, 2 ** -140, 2 ** -126, 2 ** -120, 1, 7.5, 2 ** 123, (2 - 2 ** -23) * 2 ** 123];
    const random = randomFrom(3);
    for (const dtype of ['int8', 'int4', 'uint4'] as const) {
      const most = [...numbers, ...(dtype === 'int8' ? [3.4e38, (2 - 2 ** -23) * 2 ** 127] : [])];
      for (let largest = 0; largest < most.length; largest++) {
        const values = Float32Array.from({ length: 20 * 32 }, () => {
          const size = most[Math.floor(random() * (largest + 1))]!;
          return random() < 0.5 ? size : -size;
        });
        const matrix = KernelMatrix.from(memory, weightMatrix('f32', 20, 32, values), dtype);
        const expected = Array.from({ length: 20 }, (_, row) => {
          const codes = new Int8Array(32);
          const { scale, zero } = roundGroup(dtype, values.slice(32 * row, 32 * (row + 1)), 0, 32, codes);
          return Array.from(codes, (code) => Math.fround(Math.fround(code - zero) * scale) + 0);
        });
        const held = Array.from(matrix.toFloat32(), (value) => value + 0);
        expect(held, `${dtype} up to ${most[largest]}`).to.deep.equal(expected.flat());
        expect(held.every(Number.isFinite)).to.equal(true);
        matrix.dispose();
      }
    }
  });

  it('int8 holds groups of zeros, tiny, subnormal and huge values', () => {
    const groups = [0, 1e-45, 4e-43, 1e-40, 1.2e-38, 1, 3e38, floatOf(0x7f7fffff)];
    const values = Float32Array.from({ length: 32 * groups.length }, (_, i) => groups[i >> 5]! * (1 - (i & 31) / 16));
    const matrix = KernelMatrix.from(memory, weightMatrix('f32', 1, values.length, values), 'int8');
    matrix.toFloat32().forEach((value, i) => {
      const largest = groups[i >> 5]!;
      // Half a step; where the scale is subnormal, it is itself off by up to half of its last bit.
      const allowed = largest / 254 + 127 * (largest / 127 < 2 ** -126 ? 2 ** -149 : largest * 2 ** -30);
      expect(Math.abs(value - values[i]!), `${values[i]!}`).to.be.at.most(allowed);
    });
    matrix.dispose();
  });

  for (const bad of [NaN, Infinity, -Infinity]) {
    it(`${bad} as codes is NOT_FINITE with the row, and nothing is kept`, async () => {
      for (const dtype of ['int8', 'int4', 'uint4', 'fp8'] as const) {
        for (const source of ['f32', 'bf16'] as const) {
          const values = new Float32Array(3 * 40);
          values[2 * 40 + 39] = bad;
          const weights = weightMatrix(source, 3, 40, values);
          const error = await errorOf(ExpertError, () => KernelMatrix.from(memory, weights, dtype));
          expect(error.code).to.equal('NOT_FINITE');
          expect(error.message).to.contain('row 2').and.to.contain(dtype);
        }
      }
    });
  }

  it('impossible shapes, rows and bytes are refused', async () => {
    const matrix = new KernelMatrix(memory, 4, 40, 'bf16');
    const fits = weightMatrix('f32', 4, 40, new Float32Array(160));
    const refused: (() => unknown)[] = [
      () => new KernelMatrix(memory, 0, 4, 'f32'),
      () => new KernelMatrix(memory, 4, 1.5, 'f32'),
      () => matrix.set(fits, 1),
      () => matrix.set(rowsOf(fits, 0, 1), -1),
      () => matrix.set({ ...fits, rows: 5, columns: 32 }),
      () => matrix.set({ ...fits, bytes: fits.bytes.subarray(4) }),
      () => matrix.readRows(3, 5),
      () => matrix.readRows(2, 1),
      () => matrix.writeRows(0, new Uint8Array(81)),
      () => matrix.writeRows(3, new Uint8Array(160)),
    ];
    for (const act of refused) expect((await errorOf(ExpertError, act)).code).to.equal('INVALID_ARGUMENT');
    expect(matrix.toFloat32().every((value) => value === 0)).to.equal(true);
    matrix.dispose();
  });

  it('disposing twice gives back once', () => {
    const [first, second] = [new KernelMatrix(memory, 2, 2, 'f32'), new KernelMatrix(memory, 2, 2, 'f32')];
    first.dispose();
    first.dispose();
    expect(memory.usedBytes).to.equal(second.numBytes);
    second.dispose();
  });
});
