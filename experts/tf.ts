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
} from './tensors/backends.js';
export { numKernelRuns } from './tensors/kernel_counter.js';
export * from './tensors/ops.js';
export { tryNative } from './tensors/tensorflow_backend.js';
export type { Tensor, Tensor2D } from './tensors/tensor.js';
export { tensorTransfers, type Transfers } from './tensors/transfers.js';
export { listAdapters } from './tensors/webgpu/webgpu_backend.js';
export { WASM_MAX_WEIGHT_BYTES } from './tensors/wasm_backend.js';
