/** How many kernels of TensorFlow.js this process ran. */
import { tf } from '../library/tfjs.js';

/** Kernel runs since the process began, wrapped in at most once per backend. */
const kernelRuns = { count: 0, countedBackends: new Set<string>() };

/** Wraps every kernel of a backend so that operations can be counted: an addition per operation that takes microseconds. */
export function countKernels(backend: string): void {
  if (kernelRuns.countedBackends.has(backend)) return;
  kernelRuns.countedBackends.add(backend);
  for (const kernel of tf.getKernelsForBackend(backend)) {
    tf.unregisterKernel(kernel.kernelName, backend);
    const { kernelFunc } = kernel;
    tf.registerKernel({
      ...kernel,
      kernelFunc: (params) => {
        kernelRuns.count++;
        return kernelFunc(params);
      },
    });
  }
}

/** TensorFlow.js kernels run by this process since it chose its backend. */
export const numKernelRuns = (): number => kernelRuns.count;
