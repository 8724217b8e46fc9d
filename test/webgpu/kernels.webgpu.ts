/** Kernels in WGSL against the loops that the wasm backend runs, and TensorFlow.js's own programs against sums in float64. */
import { expect } from 'chai';
import { expRows, rmsNormRows, swigluRows } from '../../compute/tfjs/backends/fused_rows.js';
import { tf as tfjs } from '../../compute/tfjs/library/tfjs.js';
import type { GuardedBackend } from '../../compute/tfjs/webgpu/guarded_backend.js';
import * as tf from '../../compute/tfjs/tf.js';
import { isSameBits, randomFrom, randomValues as valuesFrom } from '../refs/random.js';
import { useWebgpu } from './use_webgpu.js';

await useWebgpu();

const EPS = 1e-6;

const random = randomFrom(7);
const randomValues = (length: number): Float32Array => valuesFrom(random, length, 4);

/** Largest difference, relative where values are over 1; where one is NaN the other must be too. */
function largestError(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).to.equal(expected.length);
  let worst = 0;
  expected.forEach((value, i) => {
    expect(Number.isNaN(actual[i]), `NaN at ${i}`).to.equal(Number.isNaN(value));
    if (!Number.isNaN(value)) worst = Math.max(worst, Math.abs(actual[i]! - value) / Math.max(1, Math.abs(value)));
  });
  return worst;
}

/** Runs an operation on rows of `width`, and disposes what it took and made. */
async function onDevice(
  values: Float32Array,
  width: number,
  operation: (x: tf.Tensor2D) => tf.Tensor2D,
): Promise<Float32Array> {
  const x = tf.toTensor(values, [values.length / width, width]);
  const out = operation(x);
  const result = await tf.rowsOf(out);
  for (const tensor of [x, out]) tensor.dispose();
  return result;
}

/** The three kernels, each with its reference, on the same rows. */
async function errorsOn(values: Float32Array, width: number): Promise<Record<string, number>> {
  const weightValues = randomValues(width);
  const weight = tf.toTensor(weightValues, [1, width]);
  const expected = {
    norm: new Float32Array(values.length),
    gated: new Float32Array(values.length / 2),
    exp: new Float32Array(values.length),
  };
  rmsNormRows(values, weightValues, EPS, expected.norm);
  expRows(values, width, expected.exp);
  const errors: Record<string, number> = {
    norm: largestError(await onDevice(values, width, (x) => tf.rmsNorm(x, weight, EPS)), expected.norm),
    exp: largestError(await onDevice(values, width, tf.expOfRows), expected.exp),
  };
  if (width % 2 === 0) {
    swigluRows(values, width / 2, expected.gated);
    errors.gated = largestError(await onDevice(values, width, tf.swiglu), expected.gated);
  }
  weight.dispose();
  return errors;
}

describe('kernels in WGSL', () => {
  for (const [numRows, width] of [
    [1, 1],
    [1, 2],
    [3, 63],
    [2, 64],
    [5, 66],
    [2, 255],
    [2, 256],
    [3, 258],
    [1, 7168],
    [70_000, 2],
  ] as const) {
    it(`compute ${numRows} rows of ${width} as the loops over memory do`, async () => {
      const errors = await errorsOn(randomValues(numRows * width), width);
      for (const [name, error] of Object.entries(errors)) expect(error, name).to.be.below(2e-6);
    });
  }

  it('keep what is not a number where it stands, and out of other rows', async () => {
    const values = randomValues(3 * 300);
    values[300 + 7] = NaN;
    await errorsOn(values, 300);
    const exp = await onDevice(values, 300, tf.expOfRows);
    expect([...exp.keys()].filter((i) => Number.isNaN(exp[i]))).to.deep.equal([307]);
  });

  it('gate by values that overflow an exponential', async () => {
    const values = Float32Array.of(-200, 200, -1e30, 1e30, 3, 3, 3, 3);
    const gated = await onDevice(values, 8, tf.swiglu);
    expect(largestError(gated, Float32Array.of(0, 600, 0, 3e30))).to.be.below(1e-6);
  });

  it('are one kernel each', async () => {
    const before = tf.numKernelRuns();
    await errorsOn(randomValues(8), 4);
    expect(tf.numKernelRuns() - before).to.equal(3);
  });
});

describe("TensorFlow.js's matmuls on webgpu", () => {
  /** One for each of its programs, as they are chosen on a GPU: for few outputs, small, long sums with few and with many outputs. */
  const SHAPES = [
    [1, 64, 128],
    [24, 33, 17],
    [1, 2049, 130],
    [40, 96, 70],
    [64, 2048, 544],
  ] as const;

  for (const isSoftware of [true, false]) {
    it(`agree with sums in float64, as chosen on ${isSoftware ? 'a software renderer' : 'a GPU'}`, async () => {
      await asIf(isSoftware, async () => {
        for (const [numRows, inner, numColumns] of SHAPES) {
          const [a, b] = [randomValues(numRows * inner), randomValues(inner * numColumns)];
          const [x, y] = [tf.toTensor(a, [numRows, inner]), tf.toTensor(b, [inner, numColumns])];
          const out = tf.matMul(x, y);
          expect(relativeError(await tf.rowsOf(out), a, b, inner)).to.be.below(1e-6);
          for (const tensor of [x, y, out]) tensor.dispose();
        }
      });
    });
  }

  it('give the same bits each time, also of long sums', async () => {
    await asIf(false, async () => {
      const [x, y] = [tf.toTensor(randomValues(4096), [1, 4096]), tf.toTensor(randomValues(4096 * 256), [4096, 256])];
      const first = tf.matMul(x, y);
      for (let i = 0; i < 5; i++) {
        const again = tf.matMul(x, y);
        expect(isSameBits(await tf.rowsOf(again), await tf.rowsOf(first))).to.equal(true);
        again.dispose();
      }
      for (const tensor of [x, y, first]) tensor.dispose();
    });
  });

  /** Runs with the programs that are chosen on a GPU, or on none. */
  async function asIf(isSoftware: boolean, act: () => Promise<void>): Promise<void> {
    const { report } = (tfjs.backend() as unknown as GuardedBackend).guarded;
    const own = report.isSoftware;
    Object.assign(report, { isSoftware });
    await act().finally(() => Object.assign(report, { isSoftware: own }));
  }
});

/** The largest error of a·b, in parts of Σ |a|·|b|. */
function relativeError(actual: Float32Array, a: Float32Array, b: Float32Array, inner: number): number {
  const numColumns = b.length / inner;
  return actual.reduce((worst, value, i) => {
    const [row, column] = [Math.floor(i / numColumns), i % numColumns];
    let [sum, size] = [0, 0];
    for (let k = 0; k < inner; k++) {
      const term = a[row * inner + k]! * b[k * numColumns + column]!;
      sum += term;
      size += Math.abs(term);
    }
    return Math.max(worst, Math.abs(value - sum) / size);
  }, 0);
}
