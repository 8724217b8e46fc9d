/** What befalls a device: loss, refused work, and memory. */
import { expect } from 'chai';
import { ExpertError } from '../../compute/base/errors.js';
import type { GuardedBackend } from '../../compute/tfjs/webgpu/guarded_backend.js';
import { registeredBackend, tf as tfjs, type TfjsTensor } from '../../compute/tfjs/library/tfjs.js';
import * as tf from '../../compute/tfjs/tf.js';
import { promptPart, startLocalJob, startOf, type LocalJob } from '../kit/engine/local_job.js';
import { tinyModel } from '../kit/paths.js';
import { errorOf } from '../kit/rejects.js';
import { useWebgpu } from './use_webgpu.js';

const { maxTensorBytes, isAutomatic } = await useWebgpu();

const PROMPT = [1, 2, 3, 4, 5];

const own = (): GuardedBackend => tfjs.backend() as unknown as GuardedBackend;
const ones = (numRows: number, width: number): tf.Tensor2D =>
  tf.toTensor(new Float32Array(numRows * width).fill(1), [numRows, width]);

const prefill = (job: LocalJob): Promise<unknown> => job.step([[promptPart(0, PROMPT)]], [[startOf(0)]]);

describe('a device that is lost', () => {
  beforeEach(() => tf.selectBackend('webgpu'));
  afterEach(tf.closeDevices);

  it('fails the pending step and every later one of its rank, naming the GPU and what to do', async () => {
    const job = await startLocalJob(tinyModel('tiny-qwen3-moe'), {
      backend: 'webgpu',
      residence: { compute: 'tensors' },
    });
    await prefill(job);
    const { device, report } = own().guarded;
    const pending = errorOf(ExpertError, () => prefill(job));
    device.destroy();
    const errors = [await pending, await errorOf(ExpertError, () => prefill(job))];
    for (const { code, message } of errors) {
      expect(code).to.equal('DEVICE_LOST');
      expect(message).to.contain(report.name).and.contain('start the rank again');
    }
    await job.close();
  });

  it('fails all reads that wait', async () => {
    const x = ones(64, 64);
    const sums = [tf.add(x, x), tf.mul(x, x)];
    const reads = sums.map((sum) => errorOf(ExpertError, () => tf.rowsOf(sum)));
    own().guarded.device.destroy();
    for (const read of reads) expect((await read).code).to.equal('DEVICE_LOST');
  });

  it('is replaced when the backend is chosen anew', async () => {
    own().guarded.device.destroy();
    await errorOf(ExpertError, () => tf.rowsOf(tf.add(ones(64, 64), ones(64, 64))));
    tf.closeDevices();
    await tf.selectBackend('webgpu');
    expect([...(await tf.rowsOf(tf.add(ones(1, 2), ones(1, 2))))]).to.deep.equal([2, 2]);
  });
});

describe('a device that refuses work', () => {
  beforeEach(() => tf.selectBackend('webgpu'));
  afterEach(tf.closeDevices);

  it('gives no numbers from then on', async () => {
    const x = ones(64, 64); // smaller tensors would be added on the CPU
    const before = tf.add(x, x);
    const { device } = own().guarded as unknown as { readonly device: { createBuffer(options: object): unknown } };
    device.createBuffer({ size: 2 ** 40, usage: 8 }); // more than any device allows
    const error = await errorOf(ExpertError, () => tf.rowsOf(before));
    expect(error.code).to.equal('DEVICE_FAILED');
    expect(error.message).to.contain(own().guarded.report.name).and.contain('backend: wasm');
    expect((await errorOf(ExpertError, () => tf.add(x, x))).code).to.equal('DEVICE_FAILED');
  });
});

describe('a device that is a software renderer', () => {
  it('is passed over by auto and closed; a GPU is taken unless TensorFlow has one', async () => {
    tf.closeDevices();
    const { name } = await tf.selectBackend('auto');
    expect(name === 'webgpu').to.equal(isAutomatic && name !== 'tensorflow');
    expect(registeredBackend('webgpu') !== null).to.equal(name === 'webgpu');
  });
});

describe('memory of a device', () => {
  beforeEach(() => tf.selectBackend('webgpu'));
  afterEach(tf.closeDevices);

  it('takes no tensor larger than a kernel can see, and says so with both numbers', async () => {
    const size = Math.ceil(Math.sqrt(maxTensorBytes! / 4)) + 1;
    const error = await errorOf(ExpertError, () => tf.matMul(ones(size, 1), ones(1, size)));
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect(error.message)
      .to.contain(`${4 * size * size} bytes`)
      .and.contain(`up to ${maxTensorBytes!};`);
  });

  it('is the same after each step, and free when the model is', async () => {
    const before = await heldBytes();
    const job = await startLocalJob(tinyModel('tiny-deepseek-v3'), {
      backend: 'webgpu',
      residence: { compute: 'tensors' },
    });
    await prefill(job);
    job.end(0);
    const held = await heldBytes();
    expect(held).to.be.above(before);
    for (let i = 0; i < 3; i++) {
      await prefill(job);
      job.end(0);
      expect(await heldBytes()).to.equal(held);
    }
    await job.close();
    expect(await heldBytes()).to.equal(before);
  });

  it('is not kept for sizes that do not come again', async () => {
    for (let numRows = 1024; numRows < 1324; numRows++) {
      const x = ones(numRows, 512); // 2 MiB and more
      const sum = tf.add(x, x);
      await tf.rowsOf(sum);
      for (const tensor of [x, sum]) tensor.dispose();
    }
    const { numBytesAllocated, numBytesUsed } = own().bufferManager;
    expect(numBytesAllocated - numBytesUsed).to.be.below(300 * 2 ** 20);
  });

  it('holds weights alone: what was written or read leaves no copy in this process', async () => {
    const x = ones(1024, 1024);
    const data = own().tensorMap.get((x as unknown as TfjsTensor).dataId);
    expect(data.values).to.equal(null);
    expect((await tf.rowsOf(x))[5]).to.equal(1);
    expect(data.values).to.equal(null);
  });
});

/** Bytes of buffers in use once all work that was recorded is done. */
async function heldBytes(): Promise<number> {
  const x = ones(1, 1);
  const sum = tf.add(x, x);
  await tf.rowsOf(sum);
  for (const tensor of [x, sum]) tensor.dispose();
  own().ensureCommandEncoderReady();
  own().endComputePassEncoder();
  own().submitQueue();
  return own().bufferManager.numBytesUsed;
}
