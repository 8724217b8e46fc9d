/** What must be there before anything is fetched: looked at first, so that nobody waits for gigabytes to hear that a compiler is missing. */
import { statfs } from 'node:fs/promises';
import { nativePlatform, type NativeKind } from '../../compute/tfjs/native/native_folder.js';
import { NativeError } from './errors.js';
import { lastLines, runProgram, type ProgramOptions } from './program.js';
import { partsOfPlatform, TENSORFLOW_WHEELS, type TensorflowWheel } from './wheels.js';

/** What an installation needs to know of the machine that it runs on. */
export interface Machine {
  /** 'linux x64'. */
  readonly platform: string;
  /** Version of the GNU C library, '2.36'; null where another is used. */
  readonly glibc: string | null;
  /** On the disk of the folder's parent, which exists. */
  readonly freeBytes: (parent: string) => Promise<number>;
}

/** This one. Any Node that expertwire runs on will do: the binding uses Node's stable binary interface. */
export function thisMachine(): Machine {
  const { header } = process.report.getReport() as { readonly header: { readonly glibcVersionRuntime?: string } };
  return {
    platform: nativePlatform(),
    glibc: header.glibcVersionRuntime ?? null,
    freeBytes: async (parent) => {
      const { bavail, bsize } = await statfs(parent);
      return bavail * bsize;
    },
  };
}

/**
 * The wheel for a machine.
 *
 * @throws NativeError UNSUPPORTED_MACHINE when there is none, or its C library is older than the wheel needs
 */
export function wheelFor({ platform, glibc }: Machine, kind: NativeKind): TensorflowWheel {
  const wheel = TENSORFLOW_WHEELS[platform]?.[kind];
  if (wheel === undefined) {
    const built = Object.keys(TENSORFLOW_WHEELS).filter((name) => TENSORFLOW_WHEELS[name]![kind] !== undefined);
    const what = kind === 'gpu' ? 'TensorFlow for NVIDIA GPUs' : 'TensorFlow';
    throw unsupported(`Python's package index has ${what} for ${built.join(' and ')}, this is ${platform}`);
  }
  const { glibcMinor } = partsOfPlatform(wheel.platform);
  if (glibc === null || glibcMinorOf(glibc) < glibcMinor) {
    throw unsupported(
      `${wheel.name} ${wheel.version} needs the GNU C library 2.${glibcMinor} or newer, here is ${glibc ?? 'another C library'}`,
    );
  }
  return wheel;
}

/** '2.36' → 36; there is no 1 that runs Node. */
export const glibcMinorOf = (glibc: string): number => Number(glibc.split('.')[1]);

/** Names of libraries and options of the compiler are Linux's. */
export function checkSystem({ platform }: Machine): void {
  if (platform.startsWith('linux ')) return;
  const message = `the native backend is built on linux, this is ${platform}; use backend: wasm`;
  throw new NativeError('UNSUPPORTED_MACHINE', message);
}

const unsupported = (what: string): NativeError =>
  new NativeError('UNSUPPORTED_MACHINE', `${what}; name a TensorFlow of your own with --from, or use backend: wasm`);

/** @throws NativeError WRITE_FAILED */
export async function checkRoom({ freeBytes }: Machine, parent: string, roomBytes: number): Promise<void> {
  const free = await freeBytes(parent);
  if (free >= roomBytes) return;
  const [needed, left] = [roomBytes, free].map((count) => (count / 1e9).toFixed(1));
  const message = `the disk of ${parent} has ${left} GB free, installing takes ${needed} GB while it runs; make room`;
  throw new NativeError('WRITE_FAILED', message);
}

interface Tool {
  readonly program: string;
  readonly args: readonly string[];
  /** What it is called in messages, and how Debian and Ubuntu get it. */
  readonly title: string;
  readonly advice: string;
  /** Oldest version that will do, and where it says its own; any will do without. */
  readonly oldest?: readonly [major: number, minor: number];
}

/** C++17 came with 7; wheels for 'manylinux_2_27' and several platforms at once are known to pip from 20.3 on. */
const COMPILER: Tool = {
  ...{
    program: 'g++',
    args: ['-dumpfullversion', '-dumpversion'],
    title: 'g++ 7',
    advice: 'apt install g++',
    oldest: [7, 0],
  },
};
const PIP: Tool = {
  ...{ program: 'python3', args: ['-m', 'pip', '--version'], title: 'pip 20.3 for python3', oldest: [20, 3] },
  advice: 'apt install python3-pip, or python3 -m pip install --upgrade pip',
};
const ALWAYS: readonly Tool[] = [
  COMPILER,
  { program: 'npm', args: ['--version'], title: 'npm', advice: 'it comes with Node' },
  { program: 'tar', args: ['--version'], title: 'tar', advice: 'apt install tar' },
];

/**
 * @param isFetching whether Python's package index is needed too
 * @throws NativeError MISSING_PROGRAM that names everything that is missing; the signal's reason when it was aborted
 */
export async function checkPrograms(isFetching: boolean, options: ProgramOptions): Promise<void> {
  const missing: string[] = [];
  for (const tool of isFetching ? [...ALWAYS, PIP] : ALWAYS) {
    const lack = await lackOf(tool, options);
    if (lack !== null) missing.push(`${tool.title}${lack} (${tool.advice})`);
  }
  if (missing.length === 0) return;
  throw new NativeError('MISSING_PROGRAM', `this needs ${missing.join('; ')}; install what is missing and try again`);
}

/** Null where a tool will do, and what is wrong otherwise: nothing more than that it isn't there, or that it is too old. */
async function lackOf({ program, args, oldest }: Tool, options: ProgramOptions): Promise<string | null> {
  try {
    const end = await runProgram(program, args, options);
    if (end.exitCode !== 0) return `: ${lastLines(end, 1)}`;
    if (oldest === undefined) return null;
    const [, major, minor = '0'] = /(\d+)(?:\.(\d+))?/.exec(end.stdout) ?? [];
    const isOld = Number(major) < oldest[0] || (Number(major) === oldest[0] && Number(minor) < oldest[1]);
    return isOld ? ` or newer, here is ${major!}.${minor}` : null;
  } catch (error) {
    if (error instanceof NativeError) return '';
    throw error;
  }
}
