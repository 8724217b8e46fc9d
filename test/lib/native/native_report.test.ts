import { expect } from 'chai';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nativeFacts, nativeJson, reportNative } from '../../../lib/native/native_report.js';
import { fakePrograms } from '../../kit/native/fake_programs.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const MANIFEST = { kind: 'gpu', tensorflow: '2.21.0', tfjsNode: '4.22.0', platform: 'linux x64', wheels: [] };

describe('what doctor says of the native backend', () => {
  it('is what is installed, how large it is without counting linked files twice, and each device', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'native');
      await mkdir(join(dir, 'lib'), { recursive: true });
      const text = JSON.stringify(MANIFEST);
      await writeFile(join(dir, 'manifest.json'), text);
      await writeFile(join(dir, 'lib', 'large'), Buffer.alloc(5000));
      await symlink('large', join(dir, 'lib', 'link'));
      const printed = '0, NVIDIA H200, 143771, 1024, 570.86\\n1, NVIDIA GB10, [N/A], [N/A], 580.1\\n';
      const env = await fakePrograms(join(parent, 'bin'), { 'nvidia-smi': `printf '${printed}'` });

      const report = await reportNative(dir, { env });
      expect(report.sizeBytes).to.equal(text.length + 5000 + 'large'.length);
      expect(nativeFacts(report)).to.deep.equal([
        ['native', `TensorFlow 2.21.0 for GPU, 5.0 KiB in ${dir}`],
        ['cuda', '0 NVIDIA H200, 140.4 GiB, 1.0 GiB free, driver 570.86'],
        ['', '1 NVIDIA GB10, memory unknown, driver 580.1'],
      ]);
      expect(nativeJson(report, null)).to.deep.equal({
        native: {
          ...{ folder: dir, installed: true, kind: 'gpu', tensorflow: '2.21.0' },
          ...{ bytes: report.sizeBytes, unavailable: null },
        },
        cuda_devices: [
          { index: 0, name: 'NVIDIA H200', total_bytes: 143771 * 2 ** 20, free_bytes: 2 ** 30, driver: '570.86' },
          { index: 1, name: 'NVIDIA GB10', total_bytes: null, free_bytes: null, driver: '580.1' },
        ],
        no_cuda_device: null,
      });
    });
  });

  it('is why nothing is there', async () => {
    await withTempFolder(async (dir) => {
      const report = await reportNative(join(dir, 'native'), { env: { PATH: dir }, driverFolder: dir });
      expect(nativeFacts(report)).to.deep.equal([
        ['native', 'nothing installed; expertwire native install'],
        ['cuda', 'none: no NVIDIA driver'],
      ]);
      expect(nativeJson(report, 'no native library')).to.deep.equal({
        native: {
          ...{ folder: join(dir, 'native'), installed: false, kind: null, tensorflow: null, bytes: 0 },
          unavailable: 'no native library',
        },
        cuda_devices: [],
        no_cuda_device: 'no NVIDIA driver',
      });
    });
  });

  it('counts a folder with a damaged manifest as nothing installed', async () => {
    await withTempFolder(async (dir) => {
      await writeFile(join(dir, 'manifest.json'), '{"kind":5,"tensorflow":"2.21.0"}');
      const report = await reportNative(dir, { env: { PATH: dir }, driverFolder: dir });
      expect(report.installed).to.equal(null);
      expect(nativeFacts(report)[0]![1]).to.match(/^nothing installed/);
    });
  });

  it('takes what was installed before there were kinds for a CPU build', async () => {
    await withTempFolder(async (dir) => {
      const before = { tensorflow: '2.21.0', tfjsNode: '4.22.0', platform: 'linux x64' };
      await writeFile(join(dir, 'manifest.json'), JSON.stringify(before));
      const { installed } = await reportNative(dir, { env: { PATH: dir }, driverFolder: dir });
      expect(installed).to.include({ kind: 'cpu', tensorflow: '2.21.0' });
    });
  });
});
