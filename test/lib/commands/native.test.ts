import { expect } from 'chai';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError, type CommandContext } from '../../../lib/commands/base/context.js';
import { native, type NativeArgs } from '../../../lib/commands/native.js';
import { whyNoGpu } from '../../../lib/native/gpu_verdict.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { fakeInstallation, type FakeParts } from '../../kit/native/fake_installation.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

/** A tfjs-node that computes in JavaScript. */
const tfjsNode = (isOnGpu: boolean): string => `
module.exports = {
  ready: async () => undefined,
  tensor2d: (rows) => rows,
  matMul: (a, b) => ({ dataSync: () => a.flatMap((row) => b[0].map((_, j) => row[0] * b[0][j] + row[1] * b[1][j])) }),
  backend: () => ({ binding: { TF_Version: '2.9.1' }, isUsingGpuDevice: ${isOnGpu} }),
};`;

interface Machine extends FakeParts {
  /** Package → its JavaScript. */
  readonly packages?: Readonly<Record<string, string>>;
}

interface Ran {
  readonly printed: string;
  /** Of the folder to install into. */
  readonly kinds: readonly string[];
}

type Given = Omit<NativeArgs, 'action'>;

/** Runs the command, once or several times, on a made-up machine. Trials tell their end by themselves where a package is what is tried. */
async function run(args: Given | Given[], machine: Machine = {}): Promise<Ran> {
  return withTempFolder(async (folder) => {
    const trial = `
      const isPackage = process.argv[1].includes('try_package');
      if (!isPackage) tell({ version: '2.21.0', isOnGpu: false });`;
    const { dir, options } = await fakeInstallation(folder, { trial, ...machine });
    for (const [name, text] of Object.entries(machine.packages ?? {})) {
      const packageDir = join(folder, 'node_modules', '@tensorflow', name);
      await mkdir(packageDir, { recursive: true });
      await writeFile(join(packageDir, 'index.js'), text);
    }
    const context = commandContext();
    const own: CommandContext = { ...context, env: options.env };
    for (const each of Array.isArray(args) ? args : [args])
      await native({ action: 'install', ...each }, own, dir, folder);
    return { printed: context.printed(), kinds: await readdir(dir).catch(() => []) };
  });
}

describe('expertwire native install', function () {
  this.timeout(20_000);
  before(function () {
    if (process.platform !== 'linux' || process.arch !== 'x64') this.skip(); // elsewhere the wheel is another one, or none
  });

  it('builds once what is asked for, and again with --force, or for a GPU', async () => {
    const told = (text: string): string[] =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/ in \S+native/, ''));
    expect(told((await run([{}, {}, { force: true }])).printed)).to.deep.equal([
      'TensorFlow 2.21.0 is installed: backend: tensorflow runs',
      'TensorFlow 2.21.0 is installed already; --force builds it again',
      'TensorFlow 2.21.0 is installed: backend: tensorflow runs',
    ]);
    const forGpu = told((await run([{}, { gpu: true }, { gpu: true }, {}])).printed);
    expect(forGpu.map((line) => line.includes('already'))).to.deep.equal([false, false, true, true]);
  });

  it('says what was installed and where', async () => {
    const { printed, kinds } = await run({});
    expect(printed).to.match(/^TensorFlow 2\.21\.0 is installed in .*native: backend: tensorflow runs\n$/);
    expect(kinds).to.include('tfjs_binding.node').and.not.include('nvidia');
  });

  it('--gpu where there is no device completes, and says why it computes on the CPU', async () => {
    const { printed, kinds } = await run({ gpu: true });
    expect(printed).to.match(
      /^TensorFlow 2\.21\.0 for GPUs is installed in .*: no CUDA device was found \(no NVIDIA driver\), so .* on the CPU\n$/,
    );
    expect(kinds).to.include('nvidia');
  });

  it('--gpu names the device that it computes on', async () => {
    const trial = "tell({ version: '2.21.0', isOnGpu: true });";
    const smi = { 'nvidia-smi': 'echo "0, NVIDIA H200, 143771, 143156, 570.86.15"' };
    const { printed } = await run({ gpu: true }, { trial, scripts: smi });
    expect(printed).to.match(/: backend: tensorflow runs on NVIDIA H200\n$/);
  });

  it('builds nothing where an installed tfjs-node loads, and says so', async () => {
    for (const [args, packages, said] of [
      [
        {},
        { 'tfjs-node': tfjsNode(false) },
        '@tensorflow/tfjs-node is installed and loads TensorFlow 2.9.1 on the CPU: ',
      ],
      [
        { gpu: true },
        { 'tfjs-node-gpu': tfjsNode(true) },
        '@tensorflow/tfjs-node-gpu is installed and loads TensorFlow 2.9.1 on the GPU: ',
      ],
    ] as const) {
      const { printed, kinds } = await run(args, { packages });
      expect(printed.slice(0, said.length)).to.equal(said);
      expect(printed).to.contain('nothing was built; --force builds');
      expect(kinds).to.deep.equal([]);
    }
  });

  const BUILT: readonly [string, Omit<NativeArgs, 'action'>, Readonly<Record<string, string>>][] = [
    ['on the CPU, where --gpu is asked for', { gpu: true }, { 'tfjs-node': tfjsNode(false) }],
    ['when --force asks for another', { force: true }, { 'tfjs-node': tfjsNode(false) }],
    ['that crashes', {}, { 'tfjs-node': 'process.abort();' }],
    ['that misses its library', {}, { 'tfjs-node': "throw new Error('no tfjs_binding.node');" }],
    ['that computes wrongly', {}, { 'tfjs-node': tfjsNode(false).replace('row[1] *', '') }],
  ];
  for (const [what, args, packages] of BUILT) {
    it(`builds beside an installed tfjs-node ${what}`, async () => {
      expect((await run(args, { packages })).kinds).to.include('tfjs_binding.node');
    });
  }

  it('takes the second package where the first does not load', async () => {
    const packages = { 'tfjs-node-gpu': "throw new Error('no library');", 'tfjs-node': tfjsNode(false) };
    expect((await run({}, { packages })).printed).to.match(/^@tensorflow\/tfjs-node is installed/);
  });

  it('--remove goes with no other option', async () => {
    for (const other of [{ from: '/' }, { gpu: true }, { force: true }]) {
      await errorOf(UsageError, () =>
        native({ action: 'install', remove: true, ...other }, commandContext(), '/nowhere'),
      );
    }
    expect((await run({ remove: true })).printed).to.match(/^nothing was installed in .*\n$/);
  });
});

describe('why TensorFlow computes on no GPU', () => {
  const device = { index: 0, name: 'NVIDIA H200', totalBytes: 1, freeBytes: 1, driver: '570.1' };
  const LOG = `2026-01-01 W tensorflow/core/platform/x.cc:28] unrelated
2026-01-01 12:00:00.1: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2343] Cannot dlopen some GPU libraries.
Skipping registering GPU devices...`;

  it('is that there is no device', () => {
    expect(whyNoGpu({ devices: [], reason: 'no NVIDIA driver' }, LOG)).to.equal('no NVIDIA driver');
  });

  it('is what the library says where there is one', () => {
    expect(whyNoGpu({ devices: [device], reason: null }, LOG)).to.equal(
      'the driver has NVIDIA H200, but TensorFlow says: Cannot dlopen some GPU libraries. Skipping registering GPU devices...',
    );
    expect(whyNoGpu({ devices: [device], reason: null }, '')).to.equal('the driver has NVIDIA H200');
  });
});
