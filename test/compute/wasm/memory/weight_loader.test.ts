import { expect } from 'chai';
import type { StoredMatrix } from '../../../../compute/base/stored_matrix.js';
import { storedOf } from '../../../../compute/base/stored_matrix.js';
import type { WeightMatrix } from '../../../../compute/base/weight_matrix.js';
import { KernelMatrix } from '../../../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { CHOICE_DTYPES, residentBytes, type ResidentDtype } from '../../../../compute/wasm/memory/resident_dtype.js';
import { WeightLoader } from '../../../../compute/wasm/memory/weight_loader.js';
import { decodeToFloat32 } from '../../../../lib/weights/dtypes.js';
import { codedMatrix } from '../../../kit/kernels/coded_matrix.js';
import { GuardedMemory } from '../../../kit/kernels/guarded_memory.js';
import { errorOf } from '../../../kit/rejects.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';
import { encodeFloat32 } from '../../../refs/encoded_floats_ref.js';

/** With and without padding of rows and of columns; pieces of many panels, of one, and of a part of one. */
const SHAPES: readonly (readonly [rows: number, columns: number])[] = [
  [1, 1],
  [16, 32],
  [40, 33],
  [37, 96],
  [1200, 1024],
  [18, 40_000],
  [2, 300_000],
];

/** A matrix as a checkpoint has it, and the same one in memory. */
interface Example {
  readonly stored: StoredMatrix;
  readonly weights: WeightMatrix;
}

function example(dtype: 'f32' | 'bf16' | 'f16', rows: number, columns: number): Example {
  const values = randomValues(randomFrom(rows + columns), rows * columns, 0.3);
  if (dtype !== 'f16') {
    const weights = { dtype, rows, columns, bytes: encodeFloat32(values, dtype === 'f32' ? 'F32' : 'BF16') };
    return { stored: storedOf(weights), weights };
  }
  const halves = Uint16Array.from({ length: rows * columns }, (_, i) => (i * 40503) & 0xffff & ~0x4000);
  const bytes = new Uint8Array(halves.buffer);
  const floats = decodeToFloat32(bytes, 'F16');
  const stored = { ...storedOf({ dtype: 'bf16', rows, columns, bytes }), dtype };
  return { stored, weights: { dtype: 'f32', rows, columns, bytes: new Uint8Array(floats.buffer) } };
}

const bytesOf = (matrix: KernelMatrix, dtype: ResidentDtype): Buffer =>
  Buffer.from(matrix.memory.bytes(matrix.address + 64, residentBytes(dtype, matrix.rows, matrix.columns)));

/** Waits for turns of the event loop before it answers, so that several reads are under way. */
function slow(stored: StoredMatrix, counts: { now: number; most: number }): StoredMatrix {
  return {
    ...stored,
    async readRows(from, target) {
      counts.most = Math.max(counts.most, ++counts.now);
      await new Promise((resolve) => setImmediate(resolve));
      await stored.readRows(from, target);
      counts.now--;
    },
  };
}

describe('loading weights into kernel memory', () => {
  let memory: KernelMemory;
  let loader: WeightLoader;
  beforeEach(() => {
    memory = new GuardedMemory();
    loader = new WeightLoader();
  });
  afterEach(() => {
    loader.close();
    expect(memory.usedBytes, 'bytes left behind').to.equal(0);
  });

  for (const dtype of ['int8', 'fp8', 'int4', 'fp4'] as const) {
    it(`${dtype} as it is stored becomes the bytes that weights in memory become, padding too`, async () => {
      for (const [rows, columns] of SHAPES) {
        const weights = codedMatrix(dtype, rows, columns, randomValues(randomFrom(rows), rows * columns));
        const expected = KernelMatrix.from(memory, weights, dtype);
        const loaded = await loader.matrix(memory, storedOf(weights), dtype);
        expect(bytesOf(loaded, dtype).equals(bytesOf(expected, dtype)), `${rows} × ${columns}`).to.equal(true);
        const asFloats = await loader.matrix(memory, storedOf(weights), 'f32');
        expect(isSameBits(asFloats.toFloat32(), expected.toFloat32())).to.equal(true);
        for (const matrix of [expected, loaded, asFloats]) matrix.dispose();
      }
    });
  }

  for (const source of ['f32', 'bf16', 'f16'] as const) {
    for (const dtype of CHOICE_DTYPES) {
      it(`${source} → ${dtype} becomes the bytes that weights in memory become, padding too`, async () => {
        for (const [rows, columns] of SHAPES) {
          const { stored, weights } = example(source, rows, columns);
          const expected = KernelMatrix.from(memory, weights, dtype);
          const loaded = await loader.matrix(memory, stored, dtype);
          expect(bytesOf(loaded, dtype).equals(bytesOf(expected, dtype)), `${rows} × ${columns}`).to.equal(true);
          expected.dispose();
          loaded.dispose();
        }
      });
    }
  }

  it('every half is the float32 that it is, payloads of NaNs too', async () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const bytes = new Uint8Array(halves.buffer);
    const stored = { ...storedOf({ dtype: 'bf16', rows: 64, columns: 1024, bytes }), dtype: 'f16' } as const;
    const matrix = await loader.matrix(memory, stored, 'f32');
    expect(Buffer.from(matrix.readRows(0, 64)).equals(Buffer.from(decodeToFloat32(bytes, 'F16').buffer))).to.equal(
      true,
    );
    matrix.dispose();
  });

  it('ranges of rows go where they are wanted, and no other row changes', async () => {
    for (const source of ['bf16', 'f32'] as const) {
      const { stored, weights } = example(source, 50, 64);
      const matrix = new KernelMatrix(memory, 80, 64, 'bf16');
      const garbage = memory.bytes(matrix.address + 64, residentBytes('bf16', 80, 64)).fill(255);
      expect(garbage[0]).to.equal(255);
      await loader.fill(matrix, stored, [
        { from: 0, to: 48, numRows: 30 },
        { from: 30, to: 0, numRows: 20 },
      ]);
      const expected = KernelMatrix.from(memory, weights, 'bf16');
      const columns = (from: number, to: number, of: KernelMatrix) => of.toFloat32().subarray(64 * from, 64 * to);
      expect(isSameBits(columns(48, 78, matrix), columns(0, 30, expected))).to.equal(true);
      expect(isSameBits(columns(0, 20, matrix), columns(30, 50, expected))).to.equal(true);
      expect(columns(20, 48, matrix).every(Number.isNaN)).to.equal(true);
      expect(columns(78, 80, matrix).every(Number.isNaN)).to.equal(true);
      matrix.dispose();
      expected.dispose();
    }
  });

  it('pieces of one panel may come in any order', async () => {
    const { stored, weights } = example('bf16', 40, 40_960);
    const waiting: (() => void)[] = [];
    const backwards: StoredMatrix = {
      ...stored,
      async readRows(from, target) {
        await new Promise<void>((resolve) => waiting.push(resolve));
        await stored.readRows(from, target);
      },
    };
    const loading = loader.matrix(memory, backwards, 'bf16');
    const last = (): void => {
      waiting.pop()?.();
      if (!isOver) setImmediate(last);
    };
    let isOver = false;
    setImmediate(last);
    const loaded = await loading.finally(() => (isOver = true));
    const expected = KernelMatrix.from(memory, weights, 'bf16');
    expect(bytesOf(loaded, 'bf16').equals(bytesOf(expected, 'bf16'))).to.equal(true);
    expected.dispose();
    loaded.dispose();
  });

  it('any number of matrices at once, in memories that grow meanwhile, with three reads under way at most', async () => {
    const counts = { now: 0, most: 0 };
    const examples = [0, 1, 2, 3, 4, 5].map((i) => example(i % 2 === 0 ? 'bf16' : 'f32', 700 + i, 1024));
    const loading = examples.map(({ stored }) => loader.matrix(memory, slow(stored, counts), 'bf16'));
    const block = memory.allocate(2 ** 26);
    const loaded = await Promise.all(loading);
    for (const [i, { weights }] of examples.entries()) {
      const expected = KernelMatrix.from(memory, weights, 'bf16');
      expect(bytesOf(loaded[i]!, 'bf16').equals(bytesOf(expected, 'bf16'))).to.equal(true);
      expected.dispose();
      loaded[i]!.dispose();
    }
    expect(counts).to.deep.equal({ now: 0, most: 3 });
    memory.free(block);
  });

  it('a read that fails ends the loading with what it failed with, when no read is under way any more', async () => {
    const failure = new Error('the disk is gone');
    const counts = { now: 0, most: 0 };
    const { stored } = example('bf16', 4000, 1024);
    let numReads = 0;
    const failing: StoredMatrix = {
      ...stored,
      async readRows(from, target) {
        if (++numReads === 2) throw failure;
        await slow(stored, counts).readRows(from, target);
      },
    };
    expect(await errorOf(Error, () => loader.matrix(memory, failing, 'bf16'))).to.equal(failure);
    expect([counts.now, numReads]).to.deep.equal([0, 3]);
    expect(await errorOf(Error, () => loader.matrix(memory, stored, 'bf16')), 'nothing more is loaded').to.equal(
      failure,
    );
  });

  it('NaN for int8 is an error that names the row, and nothing is kept', async () => {
    const { weights } = example('f32', 100, 70);
    new Float32Array(weights.bytes.buffer)[70 * 83 + 69] = NaN;
    const error = await errorOf(Error, () => loader.matrix(memory, storedOf(weights), 'int8'));
    expect(error.message).to.match(/^NOT_FINITE: weights from row 83 on hold NaN/);
  });

  it('where the memory has no room beside the weights, areas are as small as a piece needs', async () => {
    const { stored, weights } = example('f32', 32, 64);
    const start = new KernelMemory().allocate(64);
    const small = new KernelMemory(start + residentBytes('bf16', 32, 64) + 64 + 32 * 64 * 4);
    const matrix = await loader.matrix(small, stored, 'bf16');
    const expected = KernelMatrix.from(memory, weights, 'bf16');
    expect(bytesOf(matrix, 'bf16').equals(bytesOf(expected, 'bf16'))).to.equal(true);
    expected.dispose();
  });
});
