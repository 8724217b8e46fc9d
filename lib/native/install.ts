/** `expertwire native install`: builds the native backend in a folder beside its place, tries it, and puts it there whole. */
import { fork } from 'node:child_process';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  NATIVE_FILES,
  nativePlatform,
  readNativeManifest,
  TFJS_SCOPE,
  TFJS_VERSION,
  type NativeManifest,
} from '../../experts/native_folder.js';
import { CORE_STAND_IN } from '../../experts/native_tensorflow.js';
import { buildBinding, nodeHeaders } from './binding.js';
import { NativeError } from './errors.js';
import { fetchTensorflow, NODE_HEADERS, PROTOBUF, TENSORFLOW_WHEEL, TFJS_NODE, unpackNpmPackage } from './packages.js';
import { libraryFromFolder, libraryFromWheel, type TensorflowLibrary } from './tensorflow_library.js';
import type { Trial } from './try_native.js';

export interface InstallOptions {
  /** A folder with TensorFlow's library and headers; without it the wheel of the package index is fetched. */
  readonly from?: string | undefined;
  readonly signal: AbortSignal;
  /** What is being done now: 'compiling the binding'. */
  readonly onStep: (step: string) => void;
  /** Of the step, 0 to 1, where it is known. */
  readonly onProgress: (fraction: number) => void;
}

/** The one machine that this was built and run on. */
const SUPPORTED = 'linux x64';

/**
 * Installs into a folder, in place of what was there; on failure that stays as it was.
 *
 * @throws NativeError; the signal's reason when it was aborted
 */
export async function installNative(dir: string, options: InstallOptions): Promise<NativeManifest> {
  if (nativePlatform() !== SUPPORTED) {
    const message = `the native backend is built for ${SUPPORTED}, this is ${nativePlatform()}; use backend: wasm`;
    throw new NativeError('UNSUPPORTED_MACHINE', message);
  }
  const partial = `${dir}${PARTIAL}${process.pid}`;
  try {
    await mkdir(dirname(dir), { recursive: true });
    await removeLeftovers(dir);
    await mkdir(partial);
    const manifest = await fill(partial, options);
    await replace(dir, partial);
    return manifest;
  } catch (error) {
    options.signal.throwIfAborted();
    throw isSystemError(error) ? writeFailed(dir, error) : error;
  } finally {
    await rm(partial, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Removes what is installed in a folder; false where nothing was. */
export async function removeNative(dir: string): Promise<boolean> {
  const isInstalled = readNativeManifest(dir) !== null;
  await removeLeftovers(dir).catch(() => undefined); // where there is no folder, nothing is left in it
  await rm(dir, { recursive: true, force: true }).catch((cause: unknown) => {
    throw writeFailed(dir, cause as Error);
  });
  return isInstalled;
}

async function fill(dir: string, options: InstallOptions): Promise<NativeManifest> {
  const { signal, onStep } = options;
  const scratch = join(dir, 'scratch');
  const packageDir = join(dir, NATIVE_FILES.tfjsNode);
  const modules = join(dir, NATIVE_FILES.modules);
  await mkdir(scratch);

  // 1. TensorFlow itself.
  const library = await tensorflow(dir, scratch, options);

  // 2. The backend's JavaScript and the source of its binding, from the npm registry.
  onStep(`fetching ${TFJS_NODE.name} ${TFJS_NODE.version}`);
  await unpackNpmPackage(TFJS_NODE, packageDir, scratch, signal);
  await unpackNpmPackage(PROTOBUF, join(modules, PROTOBUF.name), scratch, signal);
  for (const name of ['tfjs', 'tfjs-core']) await writeStandIn(join(modules, TFJS_SCOPE, name));

  // 3. What joins the two.
  onStep('compiling the binding');
  const headers = nodeHeaders() ?? (await fetchHeaders(scratch, signal));
  const folders = { libraryDir: join(dir, NATIVE_FILES.libraries), libraryDirFromTarget: NATIVE_FILES.libraries };
  const source = join(packageDir, 'binding');
  await buildBinding({ ...library, ...folders, source, headers, target: join(dir, NATIVE_FILES.binding), signal });

  // 4. It counts as installed once it has computed something.
  onStep('multiplying two matrices');
  const manifest = { tensorflow: await tryIn(dir, signal), tfjsNode: TFJS_VERSION, platform: nativePlatform() };
  await rm(scratch, { recursive: true });
  await writeFile(join(dir, NATIVE_FILES.manifest), `${JSON.stringify(manifest, null, 2)}\n`);
  return manifest;
}

async function tensorflow(
  dir: string,
  scratch: string,
  { from, signal, onStep, onProgress }: InstallOptions,
): Promise<TensorflowLibrary> {
  const libraries = join(dir, NATIVE_FILES.libraries);
  if (from !== undefined) {
    onStep(`copying TensorFlow from ${from}`);
    return libraryFromFolder(from, libraries);
  }
  onStep(`fetching ${TENSORFLOW_WHEEL.name} ${TENSORFLOW_WHEEL.version} (274 MB)`);
  const wheel = await fetchTensorflow(scratch, signal);
  onStep('unpacking TensorFlow');
  return libraryFromWheel(wheel, { libraries, include: join(scratch, 'include') }, { signal, onProgress });
}

async function writeStandIn(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'index.js'), CORE_STAND_IN);
}

async function fetchHeaders(scratch: string, signal: AbortSignal): Promise<string> {
  const target = join(scratch, NODE_HEADERS.name);
  await unpackNpmPackage(NODE_HEADERS, target, scratch, signal);
  return join(target, 'include');
}

/** In a process of its own, which may die of a library that does not suit the processor. */
async function tryIn(dir: string, signal: AbortSignal): Promise<string> {
  const child = fork(fileURLToPath(new URL('./try_native.js', import.meta.url)), [dir], { stdio: 'ignore', signal });
  const trial = await new Promise<Trial>((resolve, reject) => {
    child.once('message', (message) => resolve(message as Trial));
    child.once('error', reject);
    child.once('exit', (code, killer) => resolve({ reason: `it ended with ${killer ?? `exit code ${code}`}` }));
  });
  if ('version' in trial) return trial.version;
  const message = `what was built does not run: ${trial.reason}; try another TensorFlow with --from, or use backend: wasm`;
  throw new NativeError('LOAD_FAILED', message);
}

const PARTIAL = '.partial-';

/** Of installations that were killed. */
async function removeLeftovers(dir: string): Promise<void> {
  const parent = dirname(dir);
  for (const name of await readdir(parent)) {
    if (name.startsWith(`${basename(dir)}${PARTIAL}`)) await rm(join(parent, name), { recursive: true });
  }
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

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'code' in error;

const writeFailed = (dir: string, cause: Error): NativeError =>
  new NativeError(
    'WRITE_FAILED',
    `${dir} can't be written (${cause.message}); check its permissions and the space on its disk`,
    { cause },
  );
