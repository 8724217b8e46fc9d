/** What `native install` needs of a machine and of two registries, made up: programs that are shell scripts, wheels of a few bytes, a trial that is told its end. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstallOptions } from '../../../lib/native/install.js';
import type { Machine } from '../../../lib/native/machine.js';
import { NODE_HEADERS, PROTOBUF, TFJS_NODE } from '../../../lib/native/npm_packages.js';
import type { Environment } from '../../../lib/native/program.js';
import { fakePrograms } from './fake_programs.js';
import { zipOf } from './zip_writer.js';

const zip = (files: Readonly<Record<string, string>>): Buffer =>
  zipOf(Object.entries(files).map(([name, text]) => ({ name, bytes: Buffer.from(text), isDeflated: text.length > 9 })));

const METADATA = `Metadata-Version: 2.1
Name: tensorflow
Requires-Dist: numpy>=1.26.0
Provides-Extra: and-cuda
Requires-Dist: nvidia-cuda-nvcc-cu12<13.0,>=12.5.82; extra == "and-cuda"
Requires-Dist: nvidia-cusolver-cu12<12.0,>=11.6.3.83; extra == "and-cuda"
Requires-Dist: nvidia-cusparse-cu12<13.0,>=12.5.1.3 ; extra == 'and-cuda'
Provides-Extra: gcs-filesystem
Requires-Dist: nvidia-nvshmem-cu12>=3.1; extra == "gcs-filesystem"
Requires-Dist: tensorflow-io-gcs-filesystem>=0.23.1; (sys_platform != "win32") and extra == "gcs-filesystem"
`;
const HEADER = 'include/tensorflow/c/eager/c_api.h';
const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
const tensorflowFiles = {
  ...Object.fromEntries([...LIBRARIES, HEADER].map((name) => [`tensorflow/${name}`, name])),
  'tensorflow/python/other.so': 'not needed',
  'tensorflow-2.21.0.dist-info/METADATA': METADATA,
};

/** Package → its wheel's file name and contents. */
const WHEELS: Readonly<Record<string, readonly [string, Readonly<Record<string, string>>]>> = {
  'tensorflow-cpu': ['tensorflow_cpu-2.21.0-cp312.whl', tensorflowFiles],
  tensorflow: ['tensorflow-2.21.0-cp312.whl', tensorflowFiles],
  'nvidia-cuda-nvcc-cu12': [
    'nvidia_cuda_nvcc_cu12-12.9.86-py3.whl',
    {
      'nvidia/cuda_nvcc/bin/ptxas': 'ptxas itself',
      'nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc': 'bc',
      'nvidia/cuda_nvcc/include/crt/host.h': 'not needed',
    },
  ],
  'nvidia-cusolver-cu12': [
    'nvidia_cusolver_cu12-11.7.5-py3.whl',
    { 'nvidia/cusolver/lib/libcusolver.so.11': 'cusolver', 'nvidia/cusolver/lib/libcusolver_static.a': 'not needed' },
  ],
  'nvidia-cusparse-cu12': [
    'nvidia_cusparse_cu12-12.5.10-py3.whl',
    { 'nvidia/cusparse/lib/libcusparse.so.12': 'cusparse', 'nvidia/cusparse/__init__.py': 'not needed' },
  ],
};

/** pip that copies from a folder and writes down what it was asked; npm with the pinned digests; tar that makes folders; a compiler that makes an empty file. */
const scripts = (folder: string): Readonly<Record<string, string>> => ({
  python3: `
case "$*" in *--version) echo 'pip 24.0 from /somewhere (python 3.12)'; exit 0;; esac
echo "$*" >>'${folder}/asked'
case "$TMPDIR" in '${folder}'/cache/native.partial-*) : >"$TMPDIR/pip-unpack";; *) echo "TMPDIR is $TMPDIR" >&2; exit 1;; esac
while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done
cp '${folder}/wheels'/"\${1%%[<=>]*}"/* "$dest"`,
  npm: `
case "$*" in
  --version) echo 11.0.0;;
${[TFJS_NODE, PROTOBUF, NODE_HEADERS]
  .map(({ name, integrity }) => `  *${name}@*) echo '[{"filename":"package.tgz","integrity":"${integrity}"}]';;`)
  .join('\n')}
esac`,
  tar: `[ "$1" = --version ] || mkdir -p "$4/dist"`,
  'g++': `
case "$*" in -dump*) echo 12.2.0; exit 0;; esac
while [ $# -gt 0 ]; do [ "$1" = -o ] && : >"$2"; shift; done`,
});

export interface FakeInstallation {
  readonly dir: string;
  readonly options: InstallOptions & { readonly machine: Machine };
  /** What pip was asked to download, a line per call. */
  readonly asked: () => Promise<string[]>;
}

/** What else a test wants of the machine. */
export interface FakeParts {
  readonly scripts?: Readonly<Record<string, string | null>>;
  /** Left out of the machine. */
  readonly without?: string;
  /** JavaScript that runs in place of a trial; `tell` ends it. Default: it works on the CPU. */
  readonly trial?: string;
}

/** Makes all that in a folder; the installation goes into `native` there. */
export async function fakeInstallation(folder: string, parts: FakeParts = {}): Promise<FakeInstallation> {
  for (const [name, [file, files]] of Object.entries(WHEELS)) {
    await mkdir(join(folder, 'wheels', name), { recursive: true });
    await writeFile(join(folder, 'wheels', name, file), zip(files));
  }
  const wanted = Object.entries({ ...scripts(folder), ...parts.scripts }).filter(([name]) => name !== parts.without);
  const programs = await fakePrograms(join(folder, 'bin'), Object.fromEntries(wanted));
  const trial = join(folder, 'trial.cjs');
  const tell = 'const tell = (trial) => (process.send(trial), process.exit());';
  await writeFile(trial, `${tell}\n${parts.trial ?? "tell({ version: '2.21.0', isOnGpu: false });"}\n`);
  const env: Environment = { ...programs, NODE_OPTIONS: `--require=${trial}` };
  const machine: Machine = { platform: 'linux x64', glibc: '2.36', freeBytes: () => Promise.resolve(1e12) };
  const silent = { onStep: () => undefined, onProgress: () => undefined };
  return {
    dir: join(folder, 'cache', 'native'),
    options: { kind: 'cpu', env, signal: new AbortController().signal, machine, ...silent },
    asked: async () => (await readFile(join(folder, 'asked'), 'utf8').catch(() => '')).split('\n').slice(0, -1),
  };
}
