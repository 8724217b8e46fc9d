/** A machine with NVIDIA GPUs, as far as rank processes can tell. */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BUILD_DIR } from '../processes/processes.js';
import { withTempFolder } from '../temp_folder.js';

/** What TensorFlow's library found in the environment when a rank loaded it. */
export interface LoadedWith {
  readonly CUDA_VISIBLE_DEVICES?: string;
  readonly TF_FORCE_GPU_ALLOW_GROWTH?: string;
  readonly TF_NUM_INTRAOP_THREADS?: string;
}

export interface FakeGpus {
  /** For the processes that shall see them. */
  readonly env: Readonly<Record<string, string>>;
  /** One for each rank that loaded the library, in no order. */
  readonly loaded: () => Promise<LoadedWith[]>;
}

/** @param freeMib of each device, in MiB */
export async function withFakeGpus(freeMib: readonly number[], use: (gpus: FakeGpus) => Promise<void>): Promise<void> {
  await withTempFolder(async (dir) => {
    const program = join(dir, 'nvidia-smi');
    const lines = freeMib.map((free, index) => `${index}, NVIDIA Fake, 81920, ${free}, 570.86.15`);
    await writeFile(program, `#!/bin/sh\necho '${lines.join('\n')}'\n`);
    await chmod(program, 0o755);
    const log = join(dir, 'loaded.jsonl');
    await writeFile(log, '');
    const env = {
      HOME: dir, // nothing is installed there
      PATH: `${dir}:${process.env.PATH ?? ''}`,
      NODE_OPTIONS: `--import ${join(BUILD_DIR, 'test', 'kit', 'native', 'fake_gpu.js')}`,
      FAKE_GPU_LOG: log,
    };
    const loaded = async (): Promise<LoadedWith[]> =>
      (await readFile(log, 'utf8'))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as LoadedWith);
    await use({ env, loaded });
  });
}
