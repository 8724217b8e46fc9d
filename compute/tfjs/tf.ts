/** Tensors and backends, as everybody takes them; the files behind it are in tensors/. */
export {
  BACKENDS,
  closeDevices,
  reportBackends,
  selectBackend,
  type BackendChoice,
  type BackendName,
  type BackendOptions,
  type BackendReport,
} from './backends/backends.js';
export { numKernelRuns } from './ops/kernel_counter.js';
export * from './ops/ops.js';
export { tryNative } from './native/tensorflow_backend.js';
export type { Tensor, Tensor2D } from '../base/tensor.js';
export { tensorTransfers, type Transfers } from './ops/transfers.js';
export { listAdapters } from './webgpu/webgpu_backend.js';
export { WASM_MAX_WEIGHT_BYTES } from './backends/wasm_backend.js';
