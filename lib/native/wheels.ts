/** Which wheels of Python's package index TensorFlow comes in. */
import type { NativeKind } from '../../compute/tfjs/native/native_folder.js';

/** A wheel, and what it costs to install it. */
export interface TensorflowWheel {
  /** Of the package. */
  readonly name: string;
  readonly version: string;
  /** As its file name says it; the C library of a machine must be as new. */
  readonly platform: string;
  /** To fetch: itself and NVIDIA's libraries, in 10⁶ bytes. */
  readonly megabytes: number;
  /** Of NVIDIA's libraries in that. */
  readonly cudaMegabytes: number;
  /** Room that an installation takes while it runs, its archives and what pip copies of them included. */
  readonly roomBytes: number;
}

/** Of all wheels: an installation of another version counts as old, and is replaced. */
export const TENSORFLOW_VERSION = '2.21.0';
const GB = 1e9;

/**
 * Platform → kind → wheel. Linux x64 is what this was run on; the wheel for arm64 has the same libraries and headers, and was not run. On a machine with an NVIDIA
 * GPU neither was.
 */
export const TENSORFLOW_WHEELS: Readonly<Record<string, Readonly<Partial<Record<NativeKind, TensorflowWheel>>>>> = {
  'linux x64': {
    cpu: {
      ...{ name: 'tensorflow-cpu', version: TENSORFLOW_VERSION, platform: 'manylinux_2_27_x86_64' },
      ...{ megabytes: 274, cudaMegabytes: 0, roomBytes: 1.5 * GB },
    },
    gpu: {
      ...{ name: 'tensorflow', version: TENSORFLOW_VERSION, platform: 'manylinux_2_27_x86_64' },
      ...{ megabytes: 3380, cudaMegabytes: 2800, roomBytes: 8 * GB },
    },
  },
  'linux arm64': {
    cpu: {
      ...{ name: 'tensorflow', version: TENSORFLOW_VERSION, platform: 'manylinux_2_27_aarch64' },
      ...{ megabytes: 282, cudaMegabytes: 0, roomBytes: 1.6 * GB },
    },
  },
};

/** TensorFlow's libraries are the same for every Python; one must be named. */
const PYTHON = { version: '3.12', abi: 'cp312' } as const;

/** pip's options for a wheel of TensorFlow. */
export const tensorflowTarget = ({ platform }: TensorflowWheel): readonly string[] => [
  ...['--python-version', PYTHON.version, '--implementation', 'cp', '--abi', PYTHON.abi],
  ...['--platform', platform],
];

/** 'manylinux_2_27_x86_64' → the 27 and the x86_64. */
export function partsOfPlatform(platform: string): { readonly glibcMinor: number; readonly processor: string } {
  const [, glibcMinor, processor] = /^manylinux_2_(\d+)_(.+)$/.exec(platform)!;
  return { glibcMinor: Number(glibcMinor), processor: processor! };
}

/** Older names of some of those platforms. */
const OLD_NAMES = ['manylinux2014', 'manylinux2010', 'manylinux1'];
/** Of the oldest C library that a wheel is built for. */
const OLDEST_GLIBC_MINOR = 5;

/**
 * pip's options for a wheel that any Python takes, for machines where one of TensorFlow runs: pip takes platforms by name and doesn't know which older ones they
 * include.
 */
export function anyPythonTarget({ platform }: TensorflowWheel): readonly string[] {
  const { glibcMinor, processor } = partsOfPlatform(platform);
  const minors = Array.from({ length: glibcMinor - OLDEST_GLIBC_MINOR + 1 }, (_, i) => glibcMinor - i);
  const names = [...minors.map((minor) => `manylinux_2_${minor}`), ...OLD_NAMES];
  return names.flatMap((name) => ['--platform', `${name}_${processor}`]);
}
