/** TensorFlow itself, behind the binding of tfjs-node. */
import { NATIVE_PACKAGES, nativeDir } from './native_folder.js';
import { registerFrom, registerNative, supplyUtil } from './native_tensorflow.js';
import { hasOwnMemory, matMul, rowsOf, toTensor } from '../ops/ops.js';
import { registerTensorflowKernels } from './tensorflow_kernels.js';
import { firstLine, type StartedBackend } from '../library/started_backend.js';
import { activate, importOptional, loadCore } from '../library/tfjs.js';

/**
 * What `expertwire native install` built, or else a package that loads. Automatic with a GPU only: on a CPU the fused kernels of `wasm` decode several
 * times faster, and are passed in prefill alone, from a hidden size of about 1024 on.
 */
export async function startTensorflow(): Promise<StartedBackend> {
  supplyUtil();
  const reasons: string[] = [];
  const sources = [
    { load: () => Promise.resolve(`TensorFlow ${registerNative(loadCore(), nativeDir())}`) },
    ...NATIVE_PACKAGES.map((name) => ({
      load: () => importOptional(name).then(() => name),
    })),
  ];
  for (const { load } of sources) {
    try {
      const detail = await load();
      await start();
      const isGpu = hasOwnMemory();
      return { isAutomatic: isGpu, detail: `${detail} on ${isGpu ? 'GPU' : 'CPU'}` };
    } catch (error) {
      reasons.push(firstLine(error));
    }
  }
  throw new Error(reasons.join(', '));
}

/**
 * Starts the native backend of a folder that is being installed and multiplies two matrices with it.
 *
 * @returns the version of TensorFlow
 * @throws Error when it does not load or computes something else
 */
export async function tryNative(dir: string): Promise<string> {
  const version = registerFrom(loadCore(), dir);
  await start();
  const product = await rowsOf(
    matMul(toTensor(Float32Array.of(1, 2, 3, 4), [2, 2]), toTensor(Float32Array.of(5, 6, 7, 8), [2, 2])),
  );
  if (product.join() !== '19,22,43,50') throw new Error(`TensorFlow ${version} multiplies wrongly: ${product.join()}`);
  return version;
}

async function start(): Promise<void> {
  await activate('tensorflow');
  registerTensorflowKernels();
}
