import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { registerNative, supplyUtil, type TfjsCore } from '../../../../compute/tfjs/native/native_tensorflow.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** Nothing may be registered. */
const core: TfjsCore = {
  findBackendFactory: () => null,
  registerBackend: () => expect.fail('a backend was registered'),
};

describe('a native library', () => {
  it('that is not installed says how to install it', async () => {
    await withTempFolder(async (dir) => {
      const error = await errorOf(Error, () => registerNative(core, dir));
      expect(error.message).to.contain('expertwire native install');
    });
  });

  it('for another machine or another TensorFlow.js is not loaded', async () => {
    await withTempFolder(async (dir) => {
      const here = `${process.platform} ${process.arch}`;
      for (const [platform, tfjsNode] of [
        ['plan9 vax', '4.22.0'],
        [here, '3.0.0'],
      ]) {
        await writeFile(join(dir, 'manifest.json'), JSON.stringify({ platform, tfjsNode, tensorflow: '2.21.0' }));
        const error = await errorOf(Error, () => registerNative(core, dir));
        expect(error.message).to.contain(`is for ${platform} and tfjs-node ${tfjsNode}`);
      }
    });
  });

  it('finds the functions of Node that tfjs-node calls, also where Node has one no more, without a warning', () => {
    const util = createRequire(import.meta.url)('node:util') as {
      isNullOrUndefined?: ((value: unknown) => boolean) | undefined;
      isArray: unknown;
    };
    const { isNullOrUndefined, isArray } = util;
    try {
      delete util.isNullOrUndefined;
      supplyUtil();
      const answers = [null, undefined, 0, '', false].map(util.isNullOrUndefined!);
      expect(answers).to.deep.equal([true, true, false, false, false]);
      expect(util.isArray).to.equal(Array.isArray);
      const stood = util.isNullOrUndefined;
      supplyUtil();
      expect(util.isNullOrUndefined).to.equal(stood);
    } finally {
      Object.assign(util, { isNullOrUndefined, isArray });
    }
  });
});
