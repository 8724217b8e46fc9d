/** Which backend of TensorFlow.js runs in this process. Why: docs/decisions/tensorflow.md#auto-passes-over-tensorflow-on-a-cpu */
import { ExpertError } from '../../base/errors.js';
import { countKernels } from '../ops/kernel_counter.js';
import { startCpu } from './cpu_backend.js';
import { startTensorflow } from '../native/tensorflow_backend.js';
import { startWasm } from './wasm_backend.js';
import { startWebgpu } from '../webgpu/webgpu_backend.js';
import { firstLine, type StartedBackend } from '../library/started_backend.js';
import { isTfLoaded, registeredBackend, tf } from '../library/tfjs.js';

/** In the order in which `auto` tries them. */
export const BACKENDS = ['tensorflow', 'webgpu', 'wasm', 'cpu'] as const;
/** A backend by the name that TensorFlow.js registers it under. */
export type BackendName = (typeof BACKENDS)[number];
/** What a configuration may ask for; `auto`: the first that runs. */
export type BackendChoice = BackendName | 'auto';

/** Whether a backend runs on this machine, and the version, device or reason. */
export interface BackendReport extends StartedBackend {
  readonly name: BackendName;
  readonly isAvailable: boolean;
}

/** What {@link selectBackend} needs to know of the machine. */
export interface BackendOptions {
  /** Part of the name of the GPU that `webgpu` is to run on; null: the fastest. Default null. */
  readonly webgpuAdapter?: string | null;
  /**
   * Whether this machine is known to have a GPU that CUDA drives. Without one `auto` passes over `tensorflow` and doesn't load its library for that, which takes a
   * while and talks. Default true: nobody knows.
   */
  readonly hasCudaDevice?: boolean;
  /** Where `wasm` is chosen, kernels compute and nothing else, so that TensorFlow.js isn't loaded for it. Default false. */
  readonly hasKernels?: boolean;
}

/**
 * Makes one backend the process's own and reports it. `auto` takes the first that runs, native ones first.
 * @throws ExpertError BACKEND_UNAVAILABLE with the reason of each backend tried
 */
export async function selectBackend(choice: BackendChoice, options: BackendOptions = {}): Promise<BackendReport> {
  const tried: BackendReport[] = [];
  const isDeviceOpen = registeredBackend('webgpu') !== null;
  for (const name of choice === 'auto' ? BACKENDS : [choice]) {
    const report = isPointless(name, choice, options) ? NO_CUDA_DEVICE : await tryBackend(name, options);
    const isWanted = choice === name || report.isAutomatic;
    if (report.isAvailable && isWanted) {
      if (isTfLoaded()) countKernels(tf.getBackend());
      return report;
    }
    tried.push(report);
    if (!isDeviceOpen) closeDevices(); // a software renderer that auto passes over
  }
  const reasons = tried.map((report) => `${report.name}: ${report.detail}`).join('; ');
  throw new ExpertError('BACKEND_UNAVAILABLE', `no backend for '${choice}' runs here (${reasons}); try backend: wasm`);
}

const isPointless = (name: BackendName, choice: BackendChoice, { hasCudaDevice = true }: BackendOptions): boolean =>
  choice === 'auto' && name === 'tensorflow' && !hasCudaDevice;

const KERNELS_ALONE: StartedBackend = { isAutomatic: true, detail: 'kernels compute; TensorFlow.js is not loaded' };

const NO_CUDA_DEVICE: BackendReport = {
  name: 'tensorflow',
  isAvailable: false,
  isAutomatic: false,
  detail: 'no CUDA device',
};

/** Tries every backend in turn; leaves the last that worked active, and no device open. For `expertwire doctor`. */
export async function reportBackends(): Promise<BackendReport[]> {
  const reports: BackendReport[] = [];
  for (const name of BACKENDS) reports.push(await tryBackend(name, {}));
  closeDevices();
  return reports;
}

/** Gives GPUs back that backends of this process hold, with all tensors on them; a process that ends without it may crash. Idempotent. */
export function closeDevices(): void {
  if (registeredBackend('webgpu') !== null) tf.removeBackend('webgpu');
}

async function tryBackend(name: BackendName, options: BackendOptions): Promise<BackendReport> {
  try {
    return { name, isAvailable: true, ...(await STARTERS[name](options)) };
  } catch (error) {
    return { name, isAvailable: false, isAutomatic: false, detail: firstLine(error) };
  }
}

const STARTERS: Readonly<Record<BackendName, (options: BackendOptions) => Promise<StartedBackend>>> = {
  tensorflow: startTensorflow,
  webgpu: ({ webgpuAdapter = null }) => startWebgpu(webgpuAdapter),
  wasm: ({ hasKernels = false }) => (hasKernels ? Promise.resolve(KERNELS_ALONE) : startWasm()),
  cpu: startCpu,
};
