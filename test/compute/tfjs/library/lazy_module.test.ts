import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { lazyModule } from '../../../../compute/tfjs/library/lazy_module.js';

describe('a module that is loaded when it is first used', () => {
  it('is loaded once, when a member is read, and has the members of the real one', () => {
    let numLoads = 0;
    const { module, isLoaded } = lazyModule(() => {
      numLoads++;
      return { one: 1, twice: (n: number): number => 2 * n };
    });
    expect([numLoads, isLoaded()]).to.deep.equal([0, false]);
    expect([module.one, module.twice(2), isLoaded(), numLoads]).to.deep.equal([1, 4, true, 1]);
  });

  it('a failure is told each time that it is used', () => {
    const { module, isLoaded } = lazyModule<{ one: number }>(() => {
      throw new Error('not here');
    });
    const use = (): number => module.one;
    expect(use).to.throw('not here');
    expect(use).to.throw('not here');
    expect(isLoaded()).to.equal(false);
  });

  it('a rank whose kernels compute loads no TensorFlow.js', async () => {
    const url = (path: string): string => JSON.stringify(new URL(`../../../../${path}`, import.meta.url).href);
    const script = `
      await import(${url('lib/rank/rank_main.js')});
      const { selectBackend, tensorMemory, closeDevices } = await import(${url('compute/tfjs/tf.js')});
      const loaded = async (options) => {
        const { name } = await selectBackend('auto', { hasCudaDevice: false, ...options });
        tensorMemory();
        closeDevices();
        const { createRequire } = await import('node:module');
        return [name, Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('tfjs-core'))];
      };
      console.log(JSON.stringify([await loaded({ hasKernels: true }), await loaded({ hasKernels: false })]));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(JSON.parse(stdout)).to.deep.equal([
      ['wasm', false],
      ['wasm', true],
    ]);
  });
});
