/** `expertwire native install`: builds the native backend in a folder beside its place, tries it, and puts it there whole. */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import {
  NATIVE_FILES,
  nativePlatform,
  readNativeManifest,
  TFJS_VERSION,
  type NativeKind,
  type NativeManifest,
} from '../../compute/tfjs/native/native_folder.js';
import { NativeError } from './errors.js';
import { fillNativeFolder, type TensorflowSource } from './fill_folder.js';
import { checkPrograms, checkRoom, checkSystem, thisMachine, wheelFor, type Machine } from './machine.js';
import { makePartialFolder, removeLeftovers } from './partial_folder.js';
import { lastLines, type Environment } from './program.js';
import { runTrial } from './trial.js';
import type { Trial } from './try_native.js';
import { TENSORFLOW_VERSION } from './wheels.js';
import { isSystemError } from '../../base/system_error.js';

/** What to install, and who is told of it. */
export interface InstallOptions {
  /** The build for processors, or the one for NVIDIA GPUs with NVIDIA's libraries. */
  readonly kind: NativeKind;
  /** A folder with TensorFlow's library and headers; without it the wheel of the package index is fetched. */
  readonly from?: string | undefined;
  /** Of the programs that are run. */
  readonly env: Environment;
  readonly signal: AbortSignal;
  /** What is being done now: 'compiling the binding'. */
  readonly onStep: (step: string) => void;
  /** Of the step, 0 to 1, where it is known. */
  readonly onProgress: (fraction: number) => void;
  /** Default: this one. */
  readonly machine?: Machine;
}

/** What was installed, and how its trial went. */
export interface Installed {
  readonly manifest: NativeManifest;
  /** Whether it computed on a GPU when it was tried. */
  readonly isOnGpu: boolean;
  /** What TensorFlow said of itself meanwhile; its warnings tell why it found no GPU. */
  readonly log: string;
}

/**
 * Installs into a folder, in place of what was there; on failure that stays as it was.
 *
 * @throws NativeError; the signal's reason when it was aborted
 */
export async function installNative(dir: string, options: InstallOptions): Promise<Installed> {
  const { signal } = options;
  let partial: string | null = null;
  try {
    signal.throwIfAborted();
    await mkdir(dirname(dir), { recursive: true });
    const tensorflow = await checkBefore(dirname(dir), options);
    partial = await makePartialFolder(dir);
    const installed = await build(partial, tensorflow, options);
    await replace(dir, partial);
    return installed;
  } catch (error) {
    signal.throwIfAborted();
    throw isSystemError(error) ? writeFailed(dir, error) : error;
  } finally {
    if (partial !== null) await rm(partial, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }
}

/**
 * What a folder holds, when it is what would be installed and computes; null otherwise. A GPU's build is also one for processors.
 *
 * @throws the signal's reason when it was aborted
 */
export async function installedAlready(
  dir: string,
  { kind, env, signal }: Pick<InstallOptions, 'kind' | 'env' | 'signal'>,
): Promise<NativeManifest | null> {
  const manifest = readNativeManifest(dir);
  if (manifest?.tensorflow !== TENSORFLOW_VERSION || manifest.tfjsNode !== TFJS_VERSION) return null;
  if (manifest.platform !== nativePlatform() || (kind === 'gpu' && manifest.kind !== 'gpu')) return null;
  const end = await runTrial<Trial>('./try_native.js', [dir], { env, signal });
  return 'told' in end && 'version' in end.told ? manifest : null;
}

/**
 * Removes what is installed in a folder, also what is damaged; false where there is no folder.
 *
 * @throws NativeError ALREADY_INSTALLING, WRITE_FAILED
 */
export async function removeNative(dir: string): Promise<boolean> {
  const isThere = existsSync(dir);
  try {
    await removeLeftovers(dir);
    await rm(dir, { recursive: true, force: true });
    return isThere;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === 'ENOENT') return false; // where there is no folder, nothing is left in it
    throw writeFailed(dir, error);
  }
}

/** Everything that can be known before minutes are spent. */
async function checkBefore(parent: string, options: InstallOptions): Promise<TensorflowSource> {
  const { kind, from, machine = thisMachine() } = options;
  checkSystem(machine);
  if (from !== undefined) {
    await checkPrograms(false, options);
    return { from: resolve(from) }; // programs run in a folder of their own
  }
  const wheel = wheelFor(machine, kind);
  await checkPrograms(true, options);
  await checkRoom(machine, parent, wheel.roomBytes);
  return { wheel };
}

/** Fills a folder, and tries what is in it: it counts as installed once it has computed something. */
async function build(dir: string, tensorflow: TensorflowSource, options: InstallOptions): Promise<Installed> {
  const { env, signal, onStep, kind } = options;
  const scratch = join(dir, 'scratch');
  await mkdir(scratch);
  const wheels = await fillNativeFolder(dir, tensorflow, { ...options, shop: { scratch, env, signal } });

  onStep('multiplying two matrices');
  const { version, isOnGpu, log } = await tryIn(dir, options);
  const manifest: NativeManifest = {
    kind: isOnGpu ? 'gpu' : kind, // a folder of the user's own may hold either
    ...{ tensorflow: version, tfjsNode: TFJS_VERSION, platform: nativePlatform(), wheels },
  };
  await rm(scratch, { recursive: true });
  await writeFile(join(dir, NATIVE_FILES.manifest), `${JSON.stringify(manifest, null, 2)}\n`);
  return { manifest, isOnGpu, log };
}

async function tryIn(
  dir: string,
  options: InstallOptions,
): Promise<{ readonly version: string; readonly isOnGpu: boolean; readonly log: string }> {
  const end = await runTrial<Trial>('./try_native.js', [dir], options);
  if ('told' in end && 'version' in end.told) return { ...end.told, log: end.log };
  const reason = 'told' in end ? (end.told as { readonly reason: string }).reason : end.reason;
  const said = 'told' in end ? '' : lastLines({ stdout: '', stderr: end.log }, 1);
  const message =
    `what was built does not run: ${[reason, said].filter((part) => part !== '').join('; ')}; ` +
    'try another TensorFlow with --from, or use backend: wasm';
  throw new NativeError('LOAD_FAILED', message);
}

/** Processes that use the old folder keep the files that they have open. */
async function replace(dir: string, partial: string): Promise<void> {
  const old = `${partial}-old`;
  await rename(dir, old).catch((error: unknown) => {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error;
  });
  await rename(partial, dir);
  await rm(old, { recursive: true, force: true });
}

const writeFailed = (dir: string, cause: Error): NativeError =>
  new NativeError(
    'WRITE_FAILED',
    `${dir} can't be written (${cause.message}); check its permissions and the space on its disk`,
    { cause },
  );
