/**
 * The only file that loads TensorFlow.js, so that its native libraries load when a backend is chosen and never by accident.
 */
import { createRequire } from 'node:module';
import type * as tfjs from '@tensorflow/tfjs-core';

export type { KernelConfig, NamedAttrMap, NamedTensorMap, Tensor, Tensor2D, TensorInfo } from '@tensorflow/tfjs-core';

/** Loaded as the CommonJS modules that they are: an import would first search megabytes of them for export names, which takes longer than running them. */
const load = createRequire(import.meta.url);

export const tf = load('@tensorflow/tfjs-core') as typeof tfjs;

const PACKAGES = { wasm: '@tensorflow/tfjs-backend-wasm', cpu: '@tensorflow/tfjs-backend-cpu' } as const;

/** Registers a backend that is always installed. */
export const loadBackend = (name: keyof typeof PACKAGES): unknown => load(PACKAGES[name]);

export const WEBGPU_PACKAGE = '@tensorflow/tfjs-backend-webgpu';

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

/** Makes a registered backend the process's own. */
export async function activate(backend: string): Promise<void> {
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js could not start its '${backend}' backend`);
  await tf.ready();
}
