/** WebGPU through Dawn, which needs neither a browser nor CUDA. */
import { FUSED, hasKernel } from '../library/fused_kernels.js';
import type { StartedBackend } from '../library/started_backend.js';
import { activate, loadWebgpu, registeredBackend, tf } from '../library/tfjs.js';
import { openAdapter, reportAdapters, type AdapterReport, type OpenAdapter } from './adapters.js';
import type { Gpu, GpuDevice } from '../library/dawn.js';
import { createGuardedBackend, type GuardedBackend } from './guarded_backend.js';
import { registerMatMul } from './matmul_programs.js';
import type { TfjsWebgpu } from '../library/tfjs_webgpu.js';
import { registerWgslKernels } from './wgsl_kernels.js';

/**
 * Starts it on the adapter whose name contains `adapterName`; null: the fastest. What runs already goes on. Automatic on a real GPU only.
 *
 * @throws Error that says which package or driver is missing, or which adapters there are
 */
export async function startWebgpu(adapterName: string | null): Promise<StartedBackend> {
  const { dawn, tfjs } = await loadWebgpu();
  Object.assign(globalThis, dawn.globals); // where TensorFlow.js looks for GPUBuffer and the like, all the time
  const running = registeredBackend('webgpu') as GuardedBackend | null;
  const { guarded } = running ?? (await register(tfjs, await openAdapter(dawn, adapterName)));
  await activate('webgpu');
  return startedOn(guarded.report);
}

/** The GPUs of this machine as `webgpu` sees them; an empty list without its packages, and without a driver. */
export async function listAdapters(): Promise<Awaited<ReturnType<typeof reportAdapters>>> {
  const packages = await loadWebgpu().catch(() => null);
  return packages === null ? [] : reportAdapters(packages.dawn);
}

async function register(tfjs: TfjsWebgpu, opened: OpenAdapter): Promise<GuardedBackend> {
  const { gpu, adapter, report } = opened;
  const device = await requestDevice(opened);
  const backend = withNavigator(gpu, () => createGuardedBackend(tfjs, { gpu, device, info: adapter.info, report }));
  tf.registerBackend('webgpu', () => backend as unknown as ReturnType<typeof tf.backend>);
  registerKernels();
  return backend;
}

/** Kernels outlive the backend that they were registered for. */
function registerKernels(): void {
  if (hasKernel(FUSED.matMul, 'webgpu')) return;
  registerWgslKernels();
  registerMatMul();
}

function startedOn(adapter: AdapterReport): StartedBackend {
  const { name, api, description, isSoftware, maxTensorBytes } = adapter;
  const detail = `${name} through ${api}${description === '' ? '' : `, ${description}`}`;
  return {
    isAutomatic: !isSoftware,
    detail: isSoftware ? `${detail} (software renderer)` : detail,
    maxTensorBytes,
  };
}

/** With the adapter's own limits, where WebGPU would give every device the least that any has. */
function requestDevice({ adapter }: OpenAdapter): Promise<GpuDevice> {
  const { limits } = adapter;
  return adapter.requestDevice({
    requiredLimits: {
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxBufferSize: limits.maxBufferSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    },
  });
}

/** TensorFlow.js refuses to make a backend where the global `navigator` has no `gpu`. */
function withNavigator<T>(gpu: Gpu, make: () => T): T {
  const own = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  try {
    return make();
  } finally {
    if (own === undefined) Reflect.deleteProperty(globalThis, 'navigator');
    else Object.defineProperty(globalThis, 'navigator', own);
  }
}
