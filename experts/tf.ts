/**
 * The only import of TensorFlow.js, so that its native libraries load when a backend is chosen and never by accident.
 * Everybody else takes operations and tensors from here.
 */
import * as tf from '@tensorflow/tfjs-core';
import { ExpertError } from './errors.js';

export type { Tensor, Tensor2D, Tensor3D } from '@tensorflow/tfjs-core';
export {
  add,
  concat,
  div,
  exp,
  gather,
  keep,
  matMul,
  max,
  mean,
  mul,
  reshape,
  rsqrt,
  sigmoid,
  slice,
  square,
  sub,
  tidy,
  transpose,
} from '@tensorflow/tfjs-core';

/** In the order in which `auto` tries them. */
export const BACKENDS = ['tensorflow', 'webgpu', 'wasm', 'cpu'] as const;
export type BackendName = (typeof BACKENDS)[number];
export type BackendChoice = BackendName | 'auto';

/** Whether a backend runs on this machine, and the version, device or reason. */
export interface BackendReport {
  readonly name: BackendName;
  readonly isAvailable: boolean;
  readonly detail: string;
  /** False for software renderers and the pure-JS backend, which `auto` passes over. */
  readonly isAutomatic: boolean;
}

/**
 * float32 weights in bytes beyond which the wasm backend must not be loaded: it keeps a packed copy of every matmul operand
 * in its 4 GiB heap and, when that is full, computes garbage after no more than a console warning.
 */
export const WASM_MAX_WEIGHT_BYTES = 1.75 * 2 ** 30;

/**
 * Makes one backend the process's own and reports it. `auto` takes the first that runs, native ones first.
 * @throws ExpertError BACKEND_UNAVAILABLE with the reason of each backend tried.
 */
export async function selectBackend(choice: BackendChoice): Promise<BackendReport> {
  tf.enableProdMode(); // Also what keeps TensorFlow.js from printing its banner.
  const tried: BackendReport[] = [];
  for (const name of choice === 'auto' ? BACKENDS : [choice]) {
    const report = await tryBackend(name);
    const isWanted = choice === name || report.isAutomatic;
    if (report.isAvailable && isWanted) {
      countKernels(tf.getBackend());
      return report;
    }
    tried.push(report);
  }
  const reasons = tried.map((report) => `${report.name}: ${report.detail}`).join('; ');
  throw new ExpertError('BACKEND_UNAVAILABLE', `no backend for '${choice}' runs here (${reasons}); try backend: wasm`);
}

/** Tries every backend in turn; leaves the last that worked active. For `expertwire doctor`. */
export async function reportBackends(): Promise<BackendReport[]> {
  tf.enableProdMode();
  const reports: BackendReport[] = [];
  for (const name of BACKENDS) reports.push(await tryBackend(name));
  return reports;
}

async function tryBackend(name: BackendName): Promise<BackendReport> {
  try {
    return await STARTERS[name]();
  } catch (error) {
    return { name, isAvailable: false, isAutomatic: false, detail: firstLine(error) };
  }
}

const STARTERS: Readonly<Record<BackendName, () => Promise<BackendReport>>> = {
  tensorflow: startTensorflow,
  webgpu: startWebgpu,
  wasm: startWasm,
  cpu: startCpu,
};

/** Node 23 removed a function that tfjs-node 4.22 calls at load. */
const TFJS_NODE_MAX_MAJOR = 22;

async function startTensorflow(): Promise<BackendReport> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major > TFJS_NODE_MAX_MAJOR) {
    throw new Error(`tfjs-node 4.22 needs Node 20 or 22, this is Node ${process.versions.node}`);
  }
  const reasons: string[] = [];
  for (const packageName of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    try {
      await importOptional(packageName);
      await activate('tensorflow');
      return { name: 'tensorflow', isAvailable: true, isAutomatic: true, detail: packageName };
    } catch (error) {
      reasons.push(`${packageName}: ${firstLine(error)}`);
    }
  }
  throw new Error(reasons.join(', '));
}

interface GpuAdapterInfo {
  readonly vendor?: string;
  readonly architecture?: string;
  readonly description?: string;
  readonly isFallbackAdapter?: boolean;
}
interface Gpu {
  requestAdapter(): Promise<{ readonly info: GpuAdapterInfo; readonly isFallbackAdapter?: boolean } | null>;
}
interface WebgpuPackage {
  create(flags: readonly string[]): Gpu;
  readonly globals: object;
}

const SOFTWARE_RENDERER = /swiftshader|llvmpipe|lavapipe|software|cpu/i;

async function startWebgpu(): Promise<BackendReport> {
  const { create, globals } = (await importOptional('webgpu')) as WebgpuPackage;
  Object.assign(globalThis, globals);
  const gpu = create([]);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error('Dawn found no adapter');
  await importOptional('@tensorflow/tfjs-backend-webgpu');
  await activate('webgpu');
  const { vendor = '', architecture = '', description = '' } = adapter.info;
  const detail = [vendor, architecture, description].filter((part) => part !== '').join(' ') || 'unnamed adapter';
  const isSoftware =
    adapter.isFallbackAdapter === true || adapter.info.isFallbackAdapter === true || SOFTWARE_RENDERER.test(detail);
  const isAutomatic = !isSoftware;
  return { name: 'webgpu', isAvailable: true, isAutomatic, detail: isSoftware ? `${detail} (software renderer)` : detail };
}

async function startWasm(): Promise<BackendReport> {
  await import('@tensorflow/tfjs-backend-wasm');
  await activate('wasm');
  const hasSimd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  return { name: 'wasm', isAvailable: true, isAutomatic: true, detail: hasSimd ? 'SIMD, one thread' : 'no SIMD, one thread' };
}

async function startCpu(): Promise<BackendReport> {
  await import('@tensorflow/tfjs-backend-cpu');
  await activate('cpu');
  return { name: 'cpu', isAvailable: true, isAutomatic: false, detail: 'pure JavaScript, for tests' };
}

async function activate(backend: string): Promise<void> {
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js could not start its '${backend}' backend`);
  await tf.ready();
}

/** A name in a variable keeps the compiler from asking for the types of a package that may not be installed. */
async function importOptional(packageName: string): Promise<unknown> {
  try {
    return await import(packageName);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') {
      throw new Error('not installed', { cause: error });
    }
    throw error;
  }
}

const firstLine = (error: unknown): string => String(error instanceof Error ? error.message : error).split('\n')[0] ?? '';

/** Kernel runs since the process began, wrapped in at most once per backend. */
const kernelRuns = { count: 0, countedBackends: new Set<string>() };

/** Wraps every kernel of a backend so that operations can be counted: an addition per operation that takes microseconds. */
function countKernels(backend: string): void {
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

/** Tensors alive in this process and the bytes they hold. */
export function tensorMemory(): { readonly numTensors: number; readonly numBytes: number } {
  const { numTensors, numBytes } = tf.memory();
  return { numTensors, numBytes };
}

/** float32 rows [N·W] as a tensor [N,W]. */
export const toTensor = (values: Float32Array, shape: readonly [number, number]): tf.Tensor2D =>
  tf.tensor(values, [...shape], 'float32');

/** Row numbers or token ids as a tensor [N]. */
export const toIndices = (values: Int32Array): tf.Tensor1D => tf.tensor(values, [values.length], 'int32');

/** A tensor's values, row-major. The only way back to numbers that every backend has (webgpu cannot read synchronously). */
export const rowsOf = async (tensor: tf.Tensor): Promise<Float32Array> => (await tensor.data()) as Float32Array;
