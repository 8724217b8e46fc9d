/** Stands in for the package: backend `tensorflow` on a GPU. Writes down what TensorFlow's library would read now, as a line of JSON. */
import { appendFileSync } from 'node:fs';
import { FUSED } from '../../../compute/tfjs/library/fused_kernels.js';
import { loadBackend, tf, type TensorInfo } from '../../../compute/tfjs/library/tfjs.js';

const { MathBackendCPU } = loadBackend('cpu') as { readonly MathBackendCPU: new () => object };

class FakeGpu extends MathBackendCPU {
  readonly isUsingGpuDevice = true;
}

tf.registerBackend('tensorflow', () => new FakeGpu() as unknown as ReturnType<typeof tf.backend>);
tf.copyRegisteredKernels('cpu', 'tensorflow');
// As long as it is there, none of TensorFlow's own operations is asked for.
tf.registerKernel({
  kernelName: FUSED.matMul,
  backendName: 'tensorflow',
  kernelFunc: ({ inputs, backend }) => {
    const [a, b] = Object.values(inputs) as TensorInfo[];
    const attrs = { transposeA: false, transposeB: false };
    return tf.getKernel('BatchMatMul', 'cpu').kernelFunc({ inputs: { a: a!, b: b! }, backend, attrs });
  },
});
const { CUDA_VISIBLE_DEVICES, TF_FORCE_GPU_ALLOW_GROWTH, TF_NUM_INTRAOP_THREADS, FAKE_GPU_LOG } = process.env;
const read = { CUDA_VISIBLE_DEVICES, TF_FORCE_GPU_ALLOW_GROWTH, TF_NUM_INTRAOP_THREADS };
if (FAKE_GPU_LOG !== undefined) appendFileSync(FAKE_GPU_LOG, `${JSON.stringify(read)}\n`);
