import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { nativeDir, readNativeManifest } from '../../../../compute/tfjs/native/native_folder.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const WHOLE = {
  kind: 'gpu',
  tensorflow: '2.21.0',
  tfjsNode: '4.22.0',
  platform: 'linux x64',
  wheels: ['tensorflow 2.21.0'],
};

describe('the folder of the native backend', () => {
  it('has an absolute path also where HOME has none: a relative one would be loaded as a package', () => {
    const { HOME } = process.env;
    try {
      for (const home of ['relative', '']) {
        process.env.HOME = home;
        expect(isAbsolute(nativeDir()), `HOME=${home}`).to.equal(true);
      }
    } finally {
      if (HOME === undefined) delete process.env.HOME;
      else process.env.HOME = HOME;
    }
  });

  it('has a manifest that is taken whole or not at all', async () => {
    await withTempFolder(async (dir) => {
      const read = async (manifest: unknown): Promise<unknown> => {
        await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest));
        return readNativeManifest(dir);
      };
      expect(await read(WHOLE)).to.deep.equal(WHOLE);
      for (const strange of [null, 'text', [], {}]) expect(await read(strange), JSON.stringify(strange)).to.equal(null);
      for (const key of Object.keys(WHOLE)) expect(await read({ ...WHOLE, [key]: 5 }), key).to.equal(null);
      for (const key of ['tensorflow', 'tfjsNode', 'platform'])
        expect(await read({ ...WHOLE, [key]: undefined }), key).to.equal(null);
    });
  });

  it('has a manifest of a time before there were kinds, which is of the CPU', async () => {
    await withTempFolder(async (dir) => {
      const { tensorflow, tfjsNode, platform } = WHOLE;
      await writeFile(join(dir, 'manifest.json'), JSON.stringify({ tensorflow, tfjsNode, platform }));
      expect(readNativeManifest(dir)).to.deep.equal({ kind: 'cpu', tensorflow, tfjsNode, platform, wheels: [] });
    });
  });
});
