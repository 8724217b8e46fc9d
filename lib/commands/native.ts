/** `expertwire native install`: the native TensorFlow backend, from what the two package registries have. */
import type { Argv } from 'yargs';
import { nativeDir } from '../../compute/tfjs/native/native_folder.js';
import { surveyCuda } from '../native/cuda_devices.js';
import { whyNoGpu } from '../native/gpu_verdict.js';
import { installedAlready, installNative, removeNative, type Installed } from '../native/install.js';
import { loadingPackage } from '../native/installed_package.js';
import { UsageError, type CommandContext } from './base/context.js';
import { ProgressBar } from './base/progress_bar.js';

/** The options of `native` as yargs parses them. */
export interface NativeArgs {
  readonly action: 'install';
  readonly gpu?: boolean | undefined;
  readonly from?: string | undefined;
  readonly force?: boolean | undefined;
  readonly remove?: boolean | undefined;
}

/** Adds the action and the options of `native` to a command line. */
export function nativeOptions<T>(yargs: Argv<T>): Argv<T & NativeArgs> {
  return yargs
    .positional('action', { choices: ['install'] as const, demandOption: true, describe: 'what to do' })
    .option('gpu', {
      type: 'boolean',
      describe: 'the build for NVIDIA GPUs, with NVIDIA’s libraries: 3.4 GB to fetch, 5.6 GB on disk (linux x64)',
    })
    .option('from', {
      type: 'string',
      describe:
        "a folder with TensorFlow's library and headers, instead of the wheel of Python's package index: that of an installed Python " +
        'package (…/site-packages/tensorflow), or of an unpacked C library',
    })
    .option('force', {
      type: 'boolean',
      describe: 'build also where it is installed already, or an installed tfjs-node loads',
    })
    .option('remove', { type: 'boolean', describe: 'remove what was installed' });
}

/**
 * Into the user's cache, or `dir`.
 *
 * @param packagesFrom where an installed tfjs-node is looked for; default: where expertwire is
 */
export async function native(
  args: NativeArgs,
  context: CommandContext,
  dir = nativeDir(),
  packagesFrom?: string,
): Promise<void> {
  if (args.remove === true) return remove(args, context, dir);
  if (args.from === undefined && args.force !== true) {
    if (await isThere(args, context, dir)) return;
    if (await isPackageEnough(args, context, packagesFrom)) return;
  }
  const installed = await install(args, context, dir);
  const { tensorflow, kind } = installed.manifest;
  const where = `TensorFlow ${tensorflow}${kind === 'gpu' ? ' for GPUs' : ''} is installed in ${dir}`;
  context.stdout.write(`${where}: ${await verdict(installed, context)}\n`);
}

async function remove({ from, gpu, force }: NativeArgs, { stdout }: CommandContext, dir: string): Promise<void> {
  if (from !== undefined || gpu === true || force === true) {
    throw new UsageError('--remove goes with no other option; give it alone');
  }
  const wasInstalled = await removeNative(dir);
  stdout.write(wasInstalled ? `${dir} is removed\n` : `nothing was installed in ${dir}\n`);
}

async function isThere({ gpu }: NativeArgs, { stdout, env, signal }: CommandContext, dir: string): Promise<boolean> {
  const found = await installedAlready(dir, { kind: gpu === true ? 'gpu' : 'cpu', env, signal });
  if (found === null) return false;
  stdout.write(`TensorFlow ${found.tensorflow} is installed in ${dir} already; --force builds it again\n`);
  return true;
}

/** A package on the CPU is not enough for one who asks for a GPU. */
async function isPackageEnough(
  { gpu }: NativeArgs,
  { stdout, env, signal }: CommandContext,
  packagesFrom: string | undefined,
): Promise<boolean> {
  const found = await loadingPackage({ env, signal }, packagesFrom);
  if (found === null || (gpu === true && !found.isOnGpu)) return false;
  const { name, version, isOnGpu } = found;
  stdout.write(
    `${name} is installed and loads TensorFlow ${version} on the ${isOnGpu ? 'GPU' : 'CPU'}: backend: tensorflow runs, ` +
      'and nothing was built; --force builds another one, which is then preferred\n',
  );
  return true;
}

/** What can be computed on now. */
async function verdict({ manifest, isOnGpu, log }: Installed, { env }: CommandContext): Promise<string> {
  if (manifest.kind === 'cpu') return 'backend: tensorflow runs';
  const survey = await surveyCuda({ env });
  if (isOnGpu) return `backend: tensorflow runs on ${survey.devices[0]?.name ?? 'a GPU'}`;
  return `no CUDA device was found (${whyNoGpu(survey, log)}), so backend: tensorflow computes on the CPU`;
}

async function install(
  { gpu, from }: NativeArgs,
  { stderr, signal, env }: CommandContext,
  dir: string,
): Promise<Installed> {
  let bar: ProgressBar | null = null;
  const onStep = (step: string): void => {
    bar?.close();
    stderr.write(`${step} …\n`);
    bar = null;
  };
  const onProgress = (fraction: number): void => (bar ??= new ProgressBar(stderr, 'unpacking')).update(fraction);
  try {
    return await installNative(dir, { kind: gpu === true ? 'gpu' : 'cpu', from, env, signal, onStep, onProgress });
  } finally {
    (bar as ProgressBar | null)?.close();
  }
}
