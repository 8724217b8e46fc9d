import { expect } from 'chai';
import { mkdir, readdir, readFile, readlink, stat, watch, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { NativeError } from '../../../lib/native/errors.js';
import { installNative, removeNative, type InstallOptions } from '../../../lib/native/install.js';
import { thisOwner } from '../../../base/process_owner.js';
import { partialPath } from '../../../lib/native/partial_folder.js';
import { fakeInstallation, type FakeInstallation, type FakeParts } from '../../kit/native/fake_installation.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const OLD = '{"tensorflow":"2.0.0"}';

/** A machine with an old installation, beside what a killed one left. */
async function withInstalled(
  parts: FakeParts,
  use: (fake: FakeInstallation, folder: string) => Promise<void>,
): Promise<void> {
  await withTempFolder(async (folder) => {
    const fake = await fakeInstallation(folder, parts);
    const leftover = partialPath(fake.dir, { ...(await thisOwner()), pid: 1, start: '1234567890' });
    for (const dir of [fake.dir, leftover]) await mkdir(dir, { recursive: true });
    await writeFile(join(fake.dir, 'manifest.json'), OLD);
    await use(fake, folder);
  });
}

/** What was installed is there as it was, and nothing else. */
async function expectUntouched({ dir }: FakeInstallation): Promise<void> {
  expect(await readdir(dirname(dir))).to.deep.equal([basename(dir)]);
  expect(await readFile(join(dir, 'manifest.json'), 'utf8')).to.equal(OLD);
}

const manifestOf = async (dir: string): Promise<object> =>
  JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as object;

describe('native install', function () {
  before(function () {
    if (process.platform !== 'linux') this.skip();
  });

  it('puts the wheel for processors in place of what was there, and leaves nothing else', async () => {
    await withInstalled({}, async ({ dir, options, asked }) => {
      const { isOnGpu } = await installNative(dir, options);
      expect(isOnGpu).to.equal(false);
      expect(await manifestOf(dir)).to.deep.equal({
        kind: 'cpu',
        tensorflow: '2.21.0',
        tfjsNode: '4.22.0',
        platform: `${process.platform} ${process.arch}`,
        wheels: ['tensorflow_cpu 2.21.0'],
      });
      expect(await readdir(dirname(dir))).to.deep.equal(['native']);
      const parts = ['lib', 'manifest.json', 'node_modules', 'tfjs-node', 'tfjs_binding.node'];
      expect((await readdir(dir)).sort()).to.deep.equal(parts);
      expect(await readdir(join(dir, 'lib'))).to.have.members([
        'libtensorflow_cc.so.2',
        'libtensorflow_framework.so.2',
      ]);
      expect(await asked()).to.have.length(1);
      expect((await asked())[0]).to.match(/--abi cp312 --platform manylinux_2_27_x86_64 .*tensorflow-cpu==2\.21\.0$/);
    });
  });

  it('--gpu adds the libraries that the wheel itself names, where TensorFlow looks for them', async () => {
    await withInstalled({}, async ({ dir, options, asked }) => {
      await installNative(dir, { ...options, kind: 'gpu' });
      expect(await manifestOf(dir)).to.deep.include({
        kind: 'gpu',
        wheels: [
          ...['tensorflow 2.21.0', 'nvidia_cuda_nvcc_cu12 12.9.86'],
          ...['nvidia_cusolver_cu12 11.7.5', 'nvidia_cusparse_cu12 12.5.10'],
        ],
      });
      const cuda = join(dir, 'nvidia');
      const files = (await readdir(cuda, { recursive: true })).filter(
        (name) => name.includes('.') || name.endsWith('ptxas'),
      );
      expect(files.sort()).to.deep.equal([
        'cuda_nvcc/bin/ptxas',
        'cuda_nvcc/nvvm/libdevice/libdevice.10.bc',
        'cusolver/lib/libcusolver.so.11',
        'cusparse/lib/libcusolver.so.11',
        'cusparse/lib/libcusparse.so.12',
      ]);
      expect((await stat(join(cuda, 'cuda_nvcc', 'bin', 'ptxas'))).mode & 0o111).to.equal(0o111);
      const link = join(cuda, 'cusparse', 'lib', 'libcusolver.so.11');
      expect(await readlink(link)).to.equal('../../cusolver/lib/libcusolver.so.11');
      expect(await readFile(link, 'utf8')).to.equal('cusolver');

      const requirements = (await asked()).map((line) => line.split(' ').at(-1));
      expect(requirements).to.deep.equal([
        'tensorflow==2.21.0',
        ...['nvidia-cuda-nvcc-cu12<13.0,>=12.5.82', 'nvidia-cusolver-cu12<12.0,>=11.6.3.83'],
        'nvidia-cusparse-cu12<13.0,>=12.5.1.3',
      ]);
      for (const platform of ['manylinux_2_27_x86_64', 'manylinux_2_25_x86_64', 'manylinux2014_x86_64']) {
        expect((await asked())[1]).to.contain(`--platform ${platform} `);
      }
    });
  });

  it('is the kind that it proved to be', async () => {
    await withInstalled({ trial: "tell({ version: '2.21.0', isOnGpu: true });" }, async ({ dir, options }, folder) => {
      for (const part of ['lib', 'include/tensorflow/c/eager']) await mkdir(join(folder, part), { recursive: true });
      await writeFile(join(folder, 'include', 'tensorflow', 'c', 'eager', 'c_api.h'), '');
      for (const library of ['libtensorflow.so.2', 'libtensorflow_framework.so.2']) {
        await writeFile(join(folder, 'lib', library), '');
      }
      expect((await installNative(dir, { ...options, from: folder })).isOnGpu).to.equal(true);
      expect(await manifestOf(dir)).to.deep.include({ kind: 'gpu', wheels: [] });
      expect(await readdir(join(dir, 'lib'))).to.have.members(['libtensorflow.so.2', 'libtensorflow_framework.so.2']);
    });
  });

  it('--from a Python package takes the libraries of NVIDIA beside it with --gpu only, and pip is not asked', async () => {
    const compiler = `
for arg; do case "$arg" in -I*site-packages*) [ -d "\${arg#-I}" ] || { echo "no $arg" >&2; exit 1; } esac; done
case "$*" in -dump*) echo 12.2;; *) while [ $# -gt 0 ]; do [ "$1" = -o ] && : >"$2"; shift; done;; esac`;
    await withInstalled({ without: 'python3', scripts: { 'g++': compiler } }, async ({ dir, options }, folder) => {
      const from = join(folder, 'site-packages', 'tensorflow');
      await mkdir(join(from, 'include', 'tensorflow', 'c', 'eager'), { recursive: true });
      await writeFile(join(from, 'include', 'tensorflow', 'c', 'eager', 'c_api.h'), '');
      for (const library of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'])
        await writeFile(join(from, library), '');
      const gpu: InstallOptions = { ...options, from, kind: 'gpu' };

      const error = await errorOf(NativeError, () => installNative(dir, gpu));
      expect(error.code).to.equal('NO_LIBRARY');
      expect(error.message)
        .to.contain(join(folder, 'site-packages', 'nvidia'))
        .and.contain('leave out --gpu');
      await expectUntouched({ dir, options, asked: () => Promise.resolve([]) });

      await mkdir(join(from, '..', 'nvidia', 'cublas', 'lib'), { recursive: true });
      await writeFile(join(from, '..', 'nvidia', 'cublas', 'lib', 'libcublas.so.12'), 'cublas');
      await writeFile(join(from, '..', 'nvidia', 'cublas', 'lib', 'libcublas_static.a'), '');
      await installNative(dir, gpu);
      expect(await readdir(join(dir, 'nvidia', 'cublas', 'lib'))).to.deep.equal(['libcublas.so.12']);
      await installNative(dir, { ...gpu, kind: 'cpu', from: relative(process.cwd(), from) });
      expect(await readdir(dir)).not.to.include('nvidia');
    });
  });

  const REFUSED: readonly [
    string,
    Partial<InstallOptions> & { readonly glibc?: string | null; readonly platform?: string },
    RegExp,
  ][] = [
    [
      'another system',
      { platform: 'darwin arm64' },
      /^UNSUPPORTED_MACHINE: .*linux, this is darwin arm64; use backend: wasm$/,
    ],
    [
      'a GPU on arm64',
      { platform: 'linux arm64', kind: 'gpu' },
      /^UNSUPPORTED_MACHINE: .*GPUs for linux x64, this is linux arm64; name .*--from/,
    ],
    ['an older C library', { glibc: '2.26' }, /^UNSUPPORTED_MACHINE: .*C library 2\.27 or newer, here is 2\.26; /],
    ['another C library', { glibc: null }, /^UNSUPPORTED_MACHINE: .*2\.27 or newer, here is another C library; /],
  ];
  for (const [what, { platform, glibc, ...rest }, message] of REFUSED) {
    it(`refuses ${what} before anything is fetched`, async () => {
      await withInstalled({}, async (fake) => {
        const machine = {
          ...fake.options.machine,
          ...(platform && { platform }),
          ...(glibc !== undefined && { glibc }),
        };
        const error = await errorOf(NativeError, () => installNative(fake.dir, { ...fake.options, ...rest, machine }));
        expect(error.message).to.match(message);
        expect(await fake.asked()).to.deep.equal([]);
      });
    });
  }

  it('takes the wheel for arm64 there', async () => {
    await withInstalled({}, async ({ dir, options, asked }) => {
      await installNative(dir, { ...options, machine: { ...options.machine, platform: 'linux arm64' } });
      expect((await asked())[0]).to.match(/--platform manylinux_2_27_aarch64 .*tensorflow==2\.21\.0$/);
    });
  });

  it('refuses a disk that is too small, with both sizes', async () => {
    await withInstalled({}, async (fake) => {
      const machine = { ...fake.options.machine, freeBytes: () => Promise.resolve(7.4e9) };
      const error = await errorOf(NativeError, () =>
        installNative(fake.dir, { ...fake.options, kind: 'gpu', machine }),
      );
      expect(error.message).to.match(/^WRITE_FAILED: .*7\.4 GB free, installing takes 8\.0 GB/);
      await installNative(fake.dir, { ...fake.options, machine });
    });
  });

  const MISSING: readonly [string, FakeParts, RegExp][] = [
    ['no compiler', { without: 'g++' }, /this needs g\+\+ 7 \(apt install g\+\+\); install/],
    ['an old compiler', { scripts: { 'g++': 'echo 6.3.0' } }, /g\+\+ 7 or newer, here is 6\.3 \(apt/],
    ['no Python', { without: 'python3' }, /pip 20\.3 for python3 \(apt install python3-pip/],
    [
      'no pip',
      { scripts: { python3: 'echo "No module named pip" >&2; exit 1' } },
      /pip 20\.3 for python3: No module named pip \(/,
    ],
    [
      'an old pip',
      { scripts: { python3: "echo 'pip 20.2.4 from x (python 3.6)'" } },
      /pip 20\.3 for python3 or newer, here is 20\.2 \(/,
    ],
    ['no npm', { without: 'npm' }, /this needs npm \(/],
    ['no tar', { without: 'tar' }, /this needs tar \(/],
  ];
  for (const [what, parts, message] of MISSING) {
    it(`says that there is ${what} before anything is fetched`, async () => {
      await withInstalled(parts, async ({ dir, options, asked }) => {
        const error = await errorOf(NativeError, () => installNative(dir, options));
        expect(error.code).to.equal('MISSING_PROGRAM');
        expect(error.message).to.match(message);
        expect(await asked()).to.deep.equal([]);
      });
    });
  }

  it('names everything that is missing at once', async () => {
    await withInstalled({ without: 'npm', scripts: { 'g++': 'exit 1' } }, async ({ dir, options }) => {
      const { message } = await errorOf(NativeError, () => installNative(dir, options));
      expect(message).to.contain('g++').and.contain('npm');
    });
  });

  const FAILURES: readonly [string, FakeParts, Partial<InstallOptions>, RegExp][] = [
    ['a folder without TensorFlow', {}, { from: '/nowhere' }, /^NO_LIBRARY: \/nowhere .*libtensorflow_cc\.so\.2/],
    [
      'a library of NVIDIA’s that can not be fetched',
      {
        scripts: { cp: 'case "$*" in *cusparse*) echo "no such wheel" >&2; exit 1;; *) exec /usr/bin/cp "$@";; esac' },
      },
      { kind: 'gpu' },
      /^DOWNLOAD_FAILED: pip can't fetch nvidia-cusparse-cu12<13\.0,>=12\.5\.1\.3 \(no such wheel\); check the network/,
    ],
    [
      'another package than was published',
      { scripts: { npm: `[ "$1" = --version ] || echo '[{"filename":"x","integrity":"sha512-x"}]'` } },
      {},
      /^DOWNLOAD_FAILED: npm's registry sent another/,
    ],
    [
      'a binding that can not be compiled',
      { scripts: { 'g++': 'case "$*" in -dump*) echo 12.2;; *) echo "no member" >&2; exit 1;; esac' } },
      {},
      /^BUILD_FAILED: .*no member/,
    ],
    [
      'a library that does not load',
      { trial: "tell({ reason: 'no version GLIBCXX_9' });" },
      {},
      /^LOAD_FAILED: .*no version GLIBCXX_9; try another/,
    ],
    [
      'a library that ends its process',
      { trial: "console.error('illegal'); process.kill(process.pid, 'SIGKILL'); for (;;);" },
      {},
      /^LOAD_FAILED: .*ended with SIGKILL; illegal; try another/,
    ],
  ];
  for (const [what, parts, change, message] of FAILURES) {
    it(`fails with ${what}, and leaves what was installed and nothing else`, async () => {
      await withInstalled(parts, async (fake) => {
        const error = await errorOf(NativeError, () => installNative(fake.dir, { ...fake.options, ...change }));
        expect(error.message).to.match(message);
        await expectUntouched(fake);
      });
    });
  }

  for (const program of ['pip', 'the compiler', 'the trial'] as const) {
    it(`ends when it is told to while ${program} runs, and leaves what was installed and nothing else`, async () => {
      const begin = ': >"$STARTED/begun"; exec sleep 1000';
      const parts: FakeParts = {
        pip: {
          scripts: { python3: `case "$*" in *--version) echo 'pip 24.0';; *) : >"\${TMPDIR:?}/half"; ${begin};; esac` },
        },
        'the compiler': {
          scripts: { 'g++': `case "$*" in -dump*) echo 12.2;; *) : >"\${TMPDIR:?}/half"; ${begin};; esac` },
        },
        'the trial': { trial: "require('fs').writeFileSync(process.env.STARTED + '/begun', ''); for (;;);" },
      }[program];
      await withInstalled(parts, async (fake, folder) => {
        const started = join(folder, 'started');
        await mkdir(started);
        const interrupted = new AbortController();
        const begun = watch(started, { signal: interrupted.signal })[Symbol.asyncIterator]().next();
        const env = { ...fake.options.env, STARTED: started };
        const end = errorOf(Error, () => installNative(fake.dir, { ...fake.options, env, signal: interrupted.signal }));
        await begun;
        const reason = new Error('interrupted');
        interrupted.abort(reason);
        expect(await end).to.equal(reason);
        await expectUntouched(fake);
      });
    });
  }

  it('ends before it begins when it was told to', async () => {
    await withTempFolder(async (folder) => {
      const { dir, options, asked } = await fakeInstallation(folder);
      const reason = new Error('interrupted');
      expect(
        await errorOf(Error, () => installNative(dir, { ...options, signal: AbortSignal.abort(reason) })),
      ).to.equal(reason);
      expect(await readdir(folder)).not.to.include('cache');
      expect(await asked()).to.deep.equal([]);
    });
  });

  it('is refused beside another one, and takes nothing from it', async () => {
    await withTempFolder(async (folder) => {
      const { dir, options, asked } = await fakeInstallation(folder);
      const other = partialPath(dir, { pid: 77, start: '1', host: 'elsewhere' });
      await mkdir(other, { recursive: true });
      for (const act of [() => installNative(dir, options), () => removeNative(dir)]) {
        const error = await errorOf(NativeError, act);
        expect(error.message).to.match(/^ALREADY_INSTALLING: process 77 on elsewhere /);
        expect(await readdir(dirname(dir))).to.deep.equal([basename(other)]);
      }
      expect(await asked()).to.deep.equal([]);
    });
  });

  it('says what it can not write', async () => {
    await withTempFolder(async (folder) => {
      const { options } = await fakeInstallation(folder);
      await writeFile(join(folder, 'file'), '');
      const error = await errorOf(NativeError, () => installNative(join(folder, 'file', 'native'), options));
      expect(error.code).to.equal('WRITE_FAILED');
    });
  });

  it('is undone, with what was left over, once', async () => {
    await withInstalled({}, async ({ dir }) => {
      expect(await removeNative(dir)).to.equal(true);
      expect(await readdir(dirname(dir))).to.deep.equal([]);
      expect(await removeNative(dir)).to.equal(false);
      expect(await removeNative(join(dir, 'there', 'is', 'none'))).to.equal(false);
    });
  });

  it('is undone, and said to be, also where its manifest is damaged', async () => {
    await withInstalled({}, async ({ dir }) => {
      await writeFile(join(dir, 'manifest.json'), '{"kind":');
      expect(await removeNative(dir)).to.equal(true);
      expect(await readdir(dirname(dir))).to.deep.equal([]);
    });
  });
});
