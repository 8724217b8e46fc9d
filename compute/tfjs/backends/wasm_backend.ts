/** The embedded default: XNNPACK in WebAssembly, one thread. */
import { FUSED, hasKernel } from '../library/fused_kernels.js';
import { expRows, rmsNormRows, swigluRows } from './fused_rows.js';
import type { StartedBackend } from '../library/started_backend.js';
import { activate, loadBackend, tf, type TensorInfo } from '../library/tfjs.js';

/**
 * float32 weights in bytes beyond which the wasm backend must not be loaded: it keeps a packed copy of every matmul operand
 * in its 4 GiB heap and, when that is full, computes garbage after no more than a console warning. Room is left for the KV cache, for the heads that
 * latent attention expands, and for activations.
 */
export const WASM_MAX_WEIGHT_BYTES = 1.5 * 2 ** 30;

/** Makes the wasm backend the active one and gives it the fused row kernels. `auto` may take it. */
export async function startWasm(): Promise<StartedBackend> {
  loadBackend('wasm');
  await activate('wasm');
  registerFusedKernels();
  const hasSimd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  return { isAutomatic: true, detail: hasSimd ? 'SIMD, one thread' : 'no SIMD, one thread' };
}

/** What the wasm backend offers to its kernels. */
interface WasmMemory {
  makeOutput(shape: readonly number[], dtype: 'float32'): TensorInfo;
  /** A view of the tensor in the module's memory; stale once memory grew. */
  typedArrayFromHeap(tensor: TensorInfo): Float32Array;
}

/** `compute` sees the inputs' values in order, and where the result goes. */
function registerFusedKernel(
  kernelName: string,
  shapeOf: (shape: readonly number[]) => readonly number[],
  compute: (inputs: readonly Float32Array[], out: Float32Array, shape: readonly number[], eps: number) => void,
): void {
  tf.registerKernel({
    kernelName,
    backendName: 'wasm',
    kernelFunc: ({ inputs, backend, attrs }) => {
      const wasm = backend as unknown as WasmMemory;
      const tensors = Object.values(inputs) as TensorInfo[];
      const { shape } = tensors[0]!;
      const out = wasm.makeOutput(shapeOf(shape), 'float32'); // may grow the memory: views only after it
      const [result, ...values] = [out, ...tensors].map((tensor) => wasm.typedArrayFromHeap(tensor));
      compute(values, result!, shape, (attrs as { readonly eps?: number } | undefined)?.eps ?? 0);
      return out;
    },
  });
}

/** Loops over the wasm backend's memory. Other backends run the same functions as chains of their own kernels. */
function registerFusedKernels(): void {
  if (hasKernel(FUSED.rmsNorm, 'wasm')) return;
  const same = (shape: readonly number[]): readonly number[] => shape;
  registerFusedKernel(FUSED.rmsNorm, same, ([x, weight], out, _shape, eps) => rmsNormRows(x!, weight!, eps, out));
  registerFusedKernel(
    FUSED.swiglu,
    ([numRows, width]) => [numRows!, width! / 2],
    ([x], out, [, width]) => swigluRows(x!, width! / 2, out),
  );
  registerFusedKernel(FUSED.expRows, same, ([x], out, [, width]) => expRows(x!, width!, out));
}
