/** What ops.ts asks of a backend: the same suite for all of them. */
import { expect } from 'chai';
import * as tf from '../../compute/tfjs/tf.js';

const matrix = (numRows: number, width: number): tf.Tensor2D =>
  tf.toTensor(
    Float32Array.from({ length: numRows * width }, (_, i) => i),
    [numRows, width],
  );

const valuesOf = async (tensor: tf.Tensor2D): Promise<number[]> => [...(await tf.rowsOf(tensor))];

export interface OperationsOptions {
  readonly backend: tf.BackendName;
  /** Whether row-wise functions are kernels of their own. */
  readonly isFused: boolean;
}

/** Declares the suite of one backend. */
export function describeOperations({ backend, isFused }: OperationsOptions): void {
  describe(`operations on ${backend}`, () => {
    before(() => tf.selectBackend(backend));

    it(`take ${isFused ? 'one kernel' : 'a chain of kernels'} for a norm`, () => {
      const [x, weight] = [matrix(2, 4), matrix(1, 4)];
      const before = tf.numKernelRuns();
      const norm = tf.rmsNorm(x, weight, 1);
      expect(tf.numKernelRuns() - before).to.equal(isFused ? 1 : 6);
      for (const tensor of [x, weight, norm]) tensor.dispose();
    });

    it('count every kernel run, once', () => {
      const x = matrix(2, 2);
      const before = tf.numKernelRuns();
      const sum = tf.add(x, x);
      expect(tf.numKernelRuns()).to.equal(before + 1);
      for (const tensor of [x, sum]) tensor.dispose();
    });

    it('take rows and columns, and the tensor itself when those are all', async () => {
      const x = matrix(3, 4);
      expect(await valuesOf(tf.rowsFrom(x, 1, 2))).to.deep.equal([4, 5, 6, 7, 8, 9, 10, 11]);
      expect(await valuesOf(tf.columnsFrom(x, 1, 2))).to.deep.equal([1, 2, 5, 6, 9, 10]);
      expect(tf.rowsFrom(x, 0, 3)).to.equal(x);
      expect(tf.columnsFrom(x, 0, 4)).to.equal(x);
    });

    it('stack, join, transpose and gather', async () => {
      const x = matrix(2, 2);
      expect(await valuesOf(tf.stackRows([x, x]))).to.deep.equal([0, 1, 2, 3, 0, 1, 2, 3]);
      expect(await valuesOf(tf.joinColumns([x, x]))).to.deep.equal([0, 1, 0, 1, 2, 3, 2, 3]);
      expect(await valuesOf(tf.transpose(x))).to.deep.equal([0, 2, 1, 3]);
      expect(await valuesOf(tf.gatherRows(x, Int32Array.of(1, 1, 0)))).to.deep.equal([2, 3, 2, 3, 0, 1]);
      expect(tf.stackRows([x])).to.equal(x);
    });

    it('swap the two numbers of a row, there and back', async () => {
      const x = matrix(6, 2);
      const swapped = tf.swapRows(x, 2, 3);
      expect(await valuesOf(swapped)).to.deep.equal([0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
      expect(await valuesOf(tf.swapRows(swapped, 3, 2))).to.deep.equal(await valuesOf(x));
    });

    it('add a block to each block of rows', async () => {
      const sums = tf.addToBlocks(matrix(4, 2), matrix(2, 2));
      expect(sums.shape).to.deep.equal([4, 2]);
      expect(await valuesOf(sums)).to.deep.equal([0, 2, 4, 6, 4, 6, 8, 10]);
    });

    it('sum blocks of rows, and multiply blocks by the transpose of others', async () => {
      const sums = tf.sumBlocks(matrix(4, 2), 2);
      expect(sums.shape).to.deep.equal([2, 2]);
      expect(await valuesOf(sums)).to.deep.equal([2, 4, 10, 12]);
      const products = tf.matMulByBlocks(matrix(2, 2), matrix(4, 2), 2);
      expect(products.shape).to.deep.equal([2, 2]);
      expect(await valuesOf(products)).to.deep.equal([1, 3, 23, 33]);
    });

    it('norm, gate and exponentiate rows as their formulae say', async () => {
      const [x, weight] = [matrix(2, 4), matrix(1, 4)];
      const rows = [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
      ];
      const norm = rows.flatMap((row) => {
        const scale = (row.reduce((sum, value) => sum + value ** 2, 0) / 4 + 0.5) ** -0.5;
        return row.map((value, i) => value * scale * i);
      });
      const silu = (value: number): number => value / (1 + Math.exp(-value));
      const gated = rows.flatMap(([a, b, c, d]) => [silu(a!) * c!, silu(b!) * d!]);
      const weights = rows.flatMap((row) => row.map((value) => Math.exp(value - row[3]!)));
      const close = (actual: readonly number[], expected: readonly number[]): void => {
        expect(actual).to.have.length(expected.length);
        actual.forEach((value, i) => expect(value).to.be.closeTo(expected[i]!, 1e-6));
      };
      close(await valuesOf(tf.rmsNorm(x, weight, 0.5)), norm);
      close(await valuesOf(tf.swiglu(x)), gated);
      expect(tf.swiglu(x).shape).to.deep.equal([2, 2]);
      const glu = (gate: number): number => Math.min(gate, 2.5) / (1 + Math.exp(-1.7 * Math.min(gate, 2.5)));
      const clamped = rows.flatMap(([a, b, c, d]) => [
        glu(a!) * (Math.min(c!, 2.5) + 1),
        glu(b!) * (Math.min(d!, 2.5) + 1),
      ]);
      close(await valuesOf(tf.clampedSwiglu(x, 2.5, 1.7)), clamped);
      const [low] = await valuesOf(tf.clampedSwiglu(tf.toTensor(Float32Array.of(-9, -9), [1, 2]), 2.5, 1.7));
      expect(low).to.be.closeTo((-9 / (1 + Math.exp(1.7 * 9))) * (1 - 2.5), 1e-9);
      close(await valuesOf(tf.expOfRows(x)), weights);
      close(
        await valuesOf(tf.sigmoid(x)),
        rows.flat().map((value) => 1 / (1 + Math.exp(-value))),
      );
      close(await valuesOf(tf.centred(x)), [-1.5, -0.5, 0.5, 1.5, -1.5, -0.5, 0.5, 1.5]);
      close(await valuesOf(tf.clamp(tf.centred(x), 1)), [-1, -0.5, 0.5, 1, -1, -0.5, 0.5, 1]);
    });

    it('leave no tensor but their results', () => {
      const [x, weight] = [matrix(2, 4), matrix(1, 4)];
      const before = tf.tensorMemory().numTensors;
      const results = [tf.rmsNorm(x, weight, 1), tf.swiglu(x), tf.expOfRows(x), tf.swapRows(x, 2, 1), tf.centred(x)];
      expect(tf.tensorMemory().numTensors).to.equal(before + results.length);
      for (const tensor of [...results, x, weight]) tensor.dispose();
    });
  });
}
