import { expect } from 'chai';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cudaDevices, surveyCuda, type CudaSurvey } from '../../../lib/native/cuda_devices.js';
import { fakePrograms } from '../../kit/native/fake_programs.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const MIB = 2 ** 20;

/** A survey of a machine with this nvidia-smi and these files of the kernel module. */
async function survey(
  nvidiaSmi: string | null,
  moduleFiles: Readonly<Record<string, string>> = {},
): Promise<CudaSurvey> {
  return withTempFolder(async (dir) => {
    const env = await fakePrograms(join(dir, 'bin'), nvidiaSmi === null ? {} : { 'nvidia-smi': nvidiaSmi });
    const driverFolder = join(dir, 'driver');
    for (const [file, text] of Object.entries(moduleFiles)) {
      await mkdir(join(driverFolder, file, '..'), { recursive: true });
      await writeFile(join(driverFolder, file), text);
    }
    const found = await surveyCuda({ env, driverFolder });
    expect(await cudaDevices({ env, driverFolder })).to.deep.equal(found.devices);
    return found;
  });
}

const printing = (text: string): string => `cat <<'END'\n${text}\nEND`;

const MODULE = {
  version:
    'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder)\nGCC version: gcc 11\n',
  'gpus/0000:81:00.0/information': 'Model: \t\t NVIDIA L4\nIRQ:   \t\t 90\n',
  'gpus/0000:01:00.0/information': 'Model: \t\t NVIDIA H200\nIRQ:   \t\t 89\n',
};

describe('the CUDA devices of a machine', () => {
  it('are those that nvidia-smi tells, with their memory in bytes', async () => {
    const found = await survey(
      printing('0, NVIDIA H200, 143771, 143156, 570.86.15\n1, NVIDIA GB10, [N/A], [N/A], 580.1'),
    );
    expect(found).to.deep.equal({
      devices: [
        { index: 0, name: 'NVIDIA H200', totalBytes: 143771 * MIB, freeBytes: 143156 * MIB, driver: '570.86.15' },
        { index: 1, name: 'NVIDIA GB10', totalBytes: null, freeBytes: null, driver: '580.1' },
      ],
      reason: null,
    });
  });

  it('are asked for with the fields that are read, in their order', async () => {
    const { devices } = await survey('echo "0, $*, 1, 1, 1"');
    expect(devices.map(({ name }) => name)).to.deep.equal([
      '--query-gpu=index,name,memory.total,memory.free,driver_version --format=csv,noheader,nounits',
    ]);
  });

  it('are those of the kernel module where nvidia-smi is missing or fails, in the order of their slots', async () => {
    for (const nvidiaSmi of [null, 'exit 9', printing('what?')]) {
      expect(await survey(nvidiaSmi, MODULE)).to.deep.equal({
        devices: ['NVIDIA H200', 'NVIDIA L4'].map((name, index) => ({
          ...{ index, name, totalBytes: null, freeBytes: null, driver: '570.86.15' },
        })),
        reason: null,
      });
    }
  });

  const NONE: readonly [string, string | null, string][] = [
    ['there is no driver', null, 'no NVIDIA driver'],
    ['nvidia-smi fails', 'echo "no devices were found"; exit 6', 'nvidia-smi fails: no devices were found'],
    ['nvidia-smi lists none', 'exit 0', 'nvidia-smi lists none'],
    ['a line is no device', printing('0, A, 1, 1, 1\n0, NVIDIA'), 'nvidia-smi says what is no device: 0, NVIDIA'],
  ];
  for (const [when, nvidiaSmi, reason] of NONE) {
    it(`are none, and why, when ${when}`, async () => {
      expect(await survey(nvidiaSmi)).to.deep.equal({ devices: [], reason });
    });
  }
});
