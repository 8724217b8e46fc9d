import { expect } from 'chai';
import { ExpertError } from '../../experts/errors.js';
import * as tf from '../../experts/tf.js';
import { errorOf } from '../kit/rejects.js';

const matrix = (numRows: number, width: number): tf.Tensor2D =>
  tf.toTensor(
    Float32Array.from({ length: numRows * width }, (_, i) => i),
    [numRows, width],
  );

const valuesOf = async (tensor: tf.Tensor2D): Promise<number[]> => [...(await tf.rowsOf(tensor))];

describe('backends', () => {
  it('each is reported in the order in which auto tries them, with a version, device or reason', async () => {
    const reports = await tf.reportBackends();
    expect(reports.map(({ name }) => name)).to.deep.equal(['tensorflow', 'webgpu', 'wasm', 'cpu']);
    for (const { detail } of reports) expect(detail).to.not.equal('');
    const available = reports.filter(({ isAvailable }) => isAvailable).map(({ name }) => name);
    expect(available).to.include('wasm').and.include('cpu');
  });

  it('auto takes the first that runs and is meant for it', async () => {
    const reports = await tf.reportBackends();
    const first = reports.find(({ isAvailable, isAutomatic }) => isAvailable && isAutomatic)!;
    expect((await tf.selectBackend('auto')).name).to.equal(first.name);
  });

  it('one that does not run is refused with its reason and a way on', async () => {
    for (const { name, isAvailable, detail } of await tf.reportBackends()) {
      if (isAvailable) continue;
      const error = await errorOf(ExpertError, () => tf.selectBackend(name));
      expect(error.code).to.equal('BACKEND_UNAVAILABLE');
      expect(error.message).to.contain(`${name}: ${detail}`).and.contain('backend: wasm');
    }
  });
});

for (const backend of ['wasm', 'cpu'] as const) {
  describe(`operations on ${backend}`, () => {
    before(() => tf.selectBackend(backend));

    it(`${backend === 'wasm' ? 'take one kernel' : 'take a chain of kernels'} for a norm`, () => {
      const [x, weight] = [matrix(2, 4), matrix(1, 4)];
      const before = tf.numKernelRuns();
      tf.rmsNorm(x, weight, 1);
      expect(tf.numKernelRuns() - before).to.equal(backend === 'wasm' ? 1 : 6);
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
      close(await valuesOf(tf.expOfRows(x)), weights);
    });

    it('leave no tensor but their results', () => {
      const [x, weight] = [matrix(2, 4), matrix(1, 4)];
      const before = tf.tensorMemory().numTensors;
      const results = [tf.rmsNorm(x, weight, 1), tf.swiglu(x), tf.expOfRows(x), tf.swapRows(x, 2, 1)];
      expect(tf.tensorMemory().numTensors).to.equal(before + results.length);
      for (const tensor of [...results, x, weight]) tensor.dispose();
    });
  });
}
