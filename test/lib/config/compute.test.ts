import { expect } from 'chai';
import { checkCompute } from '../../../lib/config/compute.js';
import { ConfigError } from '../../../lib/config/errors.js';
import { loadConfig } from '../../../lib/config/load.js';
import { moe7m } from '../../kit/paths.js';

const checked = async (...overrides: string[]): Promise<void> =>
  checkCompute(await loadConfig({ base: { model: moe7m() }, overrides }));

const refusal = async (...overrides: string[]): Promise<string> =>
  checked(...overrides).then(
    () => 'accepted',
    (error: unknown) => {
      expect(error).to.be.instanceOf(ConfigError);
      return (error as ConfigError).message;
    },
  );

describe('compute, backend and kinds of weights', () => {
  it('that go together are accepted', async () => {
    for (const backend of ['auto', 'wasm']) {
      await checked(`backend=${backend}`, 'compute=kernels', 'experts.resident=int8', 'dense.resident=int8');
      await checked(`backend=${backend}`, 'experts.resident=int8');
      await checked(`backend=${backend}`, 'compute=tensors', 'experts.resident=bf16');
    }
    for (const backend of ['cpu', 'tensorflow', 'webgpu']) {
      await checked(`backend=${backend}`, 'experts.resident=bf16');
      await checked(`backend=${backend}`, 'compute=tensors');
    }
  });

  it('are refused where kernels have no wasm', async () => {
    for (const backend of ['cpu', 'tensorflow', 'webgpu']) {
      expect(await refusal(`backend=${backend}`, 'compute=kernels')).to.equal(
        `INVALID_VALUE: "compute" is kernels, which run beside backend wasm, but "backend" is ${backend}; set one of them to auto`,
      );
    }
  });

  it('are refused where keys and values are to be other than f32 and no kernels compute', async () => {
    for (const dtype of ['bf16', 'int8']) {
      for (const [setting, why] of [
        ['compute=tensors', '"compute" is tensors'],
        ['backend=cpu', '"backend" is cpu'],
      ] as const) {
        expect(await refusal(setting, `engine.kv_dtype=${dtype}`)).to.equal(
          `INVALID_VALUE: "engine.kv_dtype" is ${dtype}, which the kernels alone compute with, but ${why}; set it to f32`,
        );
      }
      await checked(`engine.kv_dtype=${dtype}`);
    }
    await checked('compute=tensors', 'engine.kv_dtype=f32');
  });

  it('are refused where something is asked of kernels that none will do, and what is preferred is not', async () => {
    expect(await refusal('compute=tensors', 'kernels.fma=on')).to.equal(
      'INVALID_VALUE: "kernels.fma" is on, which is about the kernels, but "compute" is tensors; set it to auto',
    );
    expect(await refusal('backend=cpu', 'kernels.simd=256')).to.equal(
      'INVALID_VALUE: "kernels.simd" is 256, which is about the kernels, but "backend" is cpu; set it to auto',
    );
    expect(await refusal('compute=tensors', 'kernels.activations=int16')).to.equal(
      'INVALID_VALUE: "kernels.activations" is int16, which is about the kernels, but "compute" is tensors; set it to f32',
    );
    await checked('compute=tensors', 'kernels.fma=off', 'kernels.simd=128');
    await checked('backend=auto', 'kernels.fma=on', 'kernels.simd=256');
  });

  it('are refused where activations become whole numbers beside no weights of whole numbers', async () => {
    const activations = 'kernels.activations=int16';
    expect(await refusal(activations, 'experts.resident=bf16', 'dense.resident=fp8')).to.equal(
      'INVALID_VALUE: "kernels.activations" is int16, which is about int8, int4 and uint4 weights, but there are none; set "experts.resident" or "dense.resident" to one of them, or it to f32',
    );
    await checked(activations, 'experts.resident=int8', 'dense.resident=f32');
    await checked(activations, 'experts.resident=f32', 'dense.resident=uint4');
    expect(await refusal('kernels.int8_activations=true')).to.contain('write "kernels.activations: int8" instead');
  });

  it('are refused where there would be copies of experts that are all in memory', async () => {
    expect(await refusal('experts.warm.bytes=2MiB')).to.equal(
      'INVALID_VALUE: "experts.warm.bytes" is 2097152, which is for copies of experts that aren\'t in memory, but all are; set "experts.max_resident_bytes" too, or it to null',
    );
    await checked('experts.warm.bytes=2MiB', 'experts.warm.dtype=int4', 'experts.max_resident_bytes=1MiB');
    await checked('experts.warm.dtype=int4');
  });

  it('are refused where int8 has no kernels', async () => {
    const why = 'is int8, which the kernels alone compute with, but';
    expect(await refusal('compute=tensors', 'experts.resident=int8')).to.equal(
      `INVALID_VALUE: "experts.resident" ${why} "compute" is tensors; set it to bf16 or f32`,
    );
    expect(await refusal('backend=cpu', 'dense.resident=int8')).to.equal(
      `INVALID_VALUE: "dense.resident" ${why} "backend" is cpu; set it to bf16 or f32`,
    );
  });
});
