/**
 * The only file that loads TensorFlow.js, so that it and its native libraries load when a backend is chosen and never by accident.
 * Why: docs/decisions/start.md#what-a-process-doesnt-need-isnt-loaded
 */
import { createRequire } from 'node:module';
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Dawn } from './dawn.js';
import { lazyModule } from './lazy_module.js';
import type { TfjsWebgpu } from './tfjs_webgpu.js';
import { checkVersions, installCommand } from './versions.js';

export type {
  KernelConfig,
  NamedAttrMap,
  NamedTensorMap,
  Tensor as TfjsTensor,
  TensorInfo,
} from '@tensorflow/tfjs-core';

/** Loaded as the CommonJS modules that they are: an import would first search megabytes of them for export names, which takes longer than running them. */
const load = createRequire(import.meta.url);

/** The core of TensorFlow.js as a module of its own: for a backend that keeps it. */
export function loadCore(): typeof tfjs {
  const core = load('@tensorflow/tfjs-core') as typeof tfjs;
  core.enableProdMode(); // Also what keeps TensorFlow.js from printing its banner.
  return core;
}

/** The core, without any backend, loaded when it is first used: a rank whose kernels compute never does. */
export const { module: tf, isLoaded: isTfLoaded } = lazyModule(loadCore);

const PACKAGES = { wasm: '@tensorflow/tfjs-backend-wasm', cpu: '@tensorflow/tfjs-backend-cpu' } as const;

/** Registers a backend that is always installed. */
export const loadBackend = (name: keyof typeof PACKAGES): unknown => load(PACKAGES[name]);

/**
 * Loads a package that may not be installed.
 *
 * @throws Error that says so in one line
 */
export async function importOptional(packageName: string): Promise<unknown> {
  try {
    return await import(packageName); // a name in a variable keeps the compiler from asking for its types
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new Error(`${packageName} is not installed`, { cause: error });
    }
    throw error;
  }
}

/**
 * What the backend `webgpu` needs, which expertwire doesn't install: 50 MB for a backend that few machines use. `webgpu` is below 1.0, where a minor
 * version may change anything; the backend must be of the very version of the core.
 */
const WEBGPU_PACKAGES = { webgpu: '0.6.2', '@tensorflow/tfjs-backend-webgpu': '4.22.0' } as const;

/**
 * Loads Dawn and TensorFlow.js's backend on it, and registers its kernels, but no backend.
 *
 * @throws Error that says in one line what is missing or of the wrong version, and how to install it
 */
export async function loadWebgpu(): Promise<{ readonly dawn: Dawn; readonly tfjs: TfjsWebgpu }> {
  checkVersions(WEBGPU_PACKAGES, installedVersion);
  const dawn = (await importOptional('webgpu')) as Dawn;
  const tfjs = load('@tensorflow/tfjs-backend-webgpu') as TfjsWebgpu;
  if (tf.getKernelsForBackend('webgpu').length > 0) return { dawn, tfjs };
  throw new Error(
    `@tensorflow/tfjs-backend-webgpu has a TensorFlow.js of its own; in expertwire's folder, ${installCommand(WEBGPU_PACKAGES)}`,
  );
}

function installedVersion(name: string): string | null {
  try {
    return (load(`${name}/package.json`) as { readonly version: string }).version;
  } catch {
    return null;
  }
}

/** The backend of this name that is registered here, if one is. The types promise one for every name. */
export const registeredBackend = (name: string): object | null =>
  isTfLoaded() ? (tf.findBackend as (name: string) => object | null)(name) : null;

/** Makes a registered backend the process's own. */
export async function activate(backend: string): Promise<void> {
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js could not start its '${backend}' backend`);
  await tf.ready();
}
