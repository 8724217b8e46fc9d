/**
 * The only import of TensorFlow.js, so that its native libraries load when a backend is chosen and never by accident.
 * Everybody else takes operations and tensors from here.
 */
import { createRequire } from 'node:module';
import type * as tfjs from '@tensorflow/tfjs-core';
import { ExpertError } from './errors.js';
import { expRows, rmsNormRows, swigluRows } from './fused.js';
import { nativeDir } from './native_folder.js';
import { registerFrom, registerNative } from './native_tensorflow.js';

export type { Tensor, Tensor2D } from '@tensorflow/tfjs-core';

/** Loaded as the CommonJS modules that they are: an import would first search megabytes of them for export names, which takes longer than running them. */
const load = createRequire(import.meta.url);
const tf = load('@tensorflow/tfjs-core') as typeof tfjs;

/** Keeps a tensor that a tidy would dispose. */
export const keep: typeof tfjs.keep = tf.keep;
/** Disposes every tensor that `compute` made and doesn't return; synchronous. */
export const tidy: typeof tf.tidy = tf.tidy;

/** In the order in which `auto` tries them. */
export const BACKENDS = ['tensorflow', 'webgpu', 'wasm', 'cpu'] as const;
export type BackendName = (typeof BACKENDS)[number];
export type BackendChoice = BackendName | 'auto';

/** Whether a backend runs on this machine, and the version, device or reason. */
export interface BackendReport {
  readonly name: BackendName;
  readonly isAvailable: boolean;
  readonly detail: string;
  /** False for software renderers, TensorFlow on a CPU and the pure-JS backend, which `auto` passes over. */
  readonly isAutomatic: boolean;
}

/**
 * float32 weights in bytes beyond which the wasm backend must not be loaded: it keeps a packed copy of every matmul operand
 * in its 4 GiB heap and, when that is full, computes garbage after no more than a console warning. Room is left for the KV cache, for the heads that
 * latent attention expands, and for activations.
 */
export const WASM_MAX_WEIGHT_BYTES = 1.5 * 2 ** 30;

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

/** What the backend of tfjs-node tells of itself. */
interface NativeBackend {
  readonly isUsingGpuDevice: boolean;
}

/**
 * What `expertwire native install` built, or else a package that loads. Automatic with a GPU only: on a CPU the fused kernels of `wasm` decode several
 * times faster, and are passed in prefill alone, from a hidden size of about 1024 on.
 */
async function startTensorflow(): Promise<BackendReport> {
  const major = Number(process.versions.node.split('.')[0]);
  if (major > TFJS_NODE_MAX_MAJOR) {
    throw new Error(`tfjs-node 4.22 needs Node 20 or 22, this is Node ${process.versions.node}`);
  }
  const reasons: string[] = [];
  const sources = [
    { load: () => Promise.resolve(`TensorFlow ${registerNative(tf, nativeDir())}`) },
    ...['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'].map((name) => ({
      load: () => importOptional(name).then(() => name),
    })),
  ];
  for (const { load } of sources) {
    try {
      const detail = await load();
      await activate('tensorflow');
      const isGpu = (tf.backend() as unknown as NativeBackend).isUsingGpuDevice;
      return {
        name: 'tensorflow',
        isAvailable: true,
        isAutomatic: isGpu,
        detail: `${detail} on ${isGpu ? 'GPU' : 'CPU'}`,
      };
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
  tf.enableProdMode();
  const version = registerFrom(tf, dir);
  await activate('tensorflow');
  const product = await rowsOf(
    matMul(toTensor(Float32Array.of(1, 2, 3, 4), [2, 2]), toTensor(Float32Array.of(5, 6, 7, 8), [2, 2])),
  );
  if (product.join() !== '19,22,43,50') throw new Error(`TensorFlow ${version} multiplies wrongly: ${product.join()}`);
  return version;
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
  readonly create: (flags: readonly string[]) => Gpu;
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
  return {
    name: 'webgpu',
    isAvailable: true,
    isAutomatic,
    detail: isSoftware ? `${detail} (software renderer)` : detail,
  };
}

async function startWasm(): Promise<BackendReport> {
  load('@tensorflow/tfjs-backend-wasm');
  await activate('wasm');
  registerFusedKernels();
  const hasSimd = await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT');
  return {
    name: 'wasm',
    isAvailable: true,
    isAutomatic: true,
    detail: hasSimd ? 'SIMD, one thread' : 'no SIMD, one thread',
  };
}

async function startCpu(): Promise<BackendReport> {
  load('@tensorflow/tfjs-backend-cpu');
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
      throw new Error(`${packageName} is not installed`, { cause: error });
    }
    throw error;
  }
}

const firstLine = (error: unknown): string =>
  String(error instanceof Error ? error.message : error).split('\n')[0] ?? '';

/** What the wasm backend offers to its kernels. */
interface WasmMemory {
  makeOutput(shape: readonly number[], dtype: 'float32'): tfjs.TensorInfo;
  /** A view of the tensor in the module's memory; stale once memory grew. */
  typedArrayFromHeap(tensor: tfjs.TensorInfo): Float32Array;
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
      const tensors = Object.values(inputs) as tfjs.TensorInfo[];
      const { shape } = tensors[0]!;
      const out = wasm.makeOutput(shapeOf(shape), 'float32'); // may grow the memory: views only after it
      const [result, ...values] = [out, ...tensors].map((tensor) => wasm.typedArrayFromHeap(tensor));
      compute(values, result!, shape, (attrs as { readonly eps?: number } | undefined)?.eps ?? 0);
      return out;
    },
  });
}

const FUSED = { rmsNorm: 'ExpertwireRmsNorm', swiglu: 'ExpertwireSwiglu', expRows: 'ExpertwireExpRows' } as const;

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

/** The types promise a kernel for every name. */
const hasKernel = (kernelName: string, backend: string): boolean =>
  (tf.getKernel as (name: string, backend: string) => tfjs.KernelConfig | undefined)(kernelName, backend) !== undefined;

const isFused = (kernelName: string): boolean => hasKernel(kernelName, tf.getBackend());

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

/*
 * Operations. They go straight to the kernels: TensorFlow.js's own wrappers check and convert arguments anew each time, which took a third of the
 * time of a decoding step at batch 1. Shapes are the callers' business; broadcasting is as in NumPy.
 */

function run(kernel: string, inputs: tfjs.NamedTensorMap | tfjs.Tensor[], attributes?: tfjs.NamedAttrMap): tfjs.Tensor {
  return tf.engine().runKernel(kernel, inputs as tfjs.NamedTensorMap, attributes);
}

const run2 = (...call: Parameters<typeof run>): tfjs.Tensor2D => run(...call) as tfjs.Tensor2D;

export const add = (a: tfjs.Tensor2D, b: tfjs.Tensor2D): tfjs.Tensor2D => run2('Add', { a, b });
const sub = (a: tfjs.Tensor2D, b: tfjs.Tensor2D): tfjs.Tensor2D => run2('Sub', { a, b });
export const mul = (a: tfjs.Tensor2D, b: tfjs.Tensor2D): tfjs.Tensor2D => run2('Multiply', { a, b });
export const div = (a: tfjs.Tensor2D, b: tfjs.Tensor2D): tfjs.Tensor2D => run2('RealDiv', { a, b });
const exp = (x: tfjs.Tensor2D): tfjs.Tensor2D => run2('Exp', { x });
const sigmoid = (x: tfjs.Tensor2D): tfjs.Tensor2D => run2('Sigmoid', { x });
const square = (x: tfjs.Tensor2D): tfjs.Tensor2D => run2('Square', { x });
const rsqrt = (x: tfjs.Tensor2D): tfjs.Tensor2D => run2('Rsqrt', { x });

/** x · (mean(x²) + eps)^−½ · weight for the rows of [N,W]; weight is [1,W]. */
export function rmsNorm(x: tfjs.Tensor2D, weight: tfjs.Tensor2D, eps: number): tfjs.Tensor2D {
  if (isFused(FUSED.rmsNorm)) return run2(FUSED.rmsNorm, { x, weight }, { eps });
  return tf.tidy(() => mul(mul(x, rsqrt(add(rowMeans(square(x)), toTensor(Float32Array.of(eps), [1, 1])))), weight));
}

/** [gate | up] rows [N,2I] → silu(gate)·up [N,I]. */
export function swiglu(x: tfjs.Tensor2D): tfjs.Tensor2D {
  if (isFused(FUSED.swiglu)) return run2(FUSED.swiglu, { x });
  return tf.tidy(() => {
    const intermediate = x.shape[1] / 2;
    const gate = columnsFrom(x, 0, intermediate);
    return mul(mul(gate, sigmoid(gate)), columnsFrom(x, intermediate, intermediate));
  });
}

/** exp(x − the row's maximum), for the rows of [N,W]. */
export function expOfRows(x: tfjs.Tensor2D): tfjs.Tensor2D {
  if (isFused(FUSED.expRows)) return run2(FUSED.expRows, { x });
  return tf.tidy(() => exp(sub(x, rowMaxima(x))));
}

/** Means of the rows of [N,W]: [N,1]. */
const rowMeans = (x: tfjs.Tensor2D): tfjs.Tensor2D => run2('Mean', { x }, { axis: 1, keepDims: true });
/** Largest values of the rows of [N,W]: [N,1]. */
const rowMaxima = (x: tfjs.Tensor2D): tfjs.Tensor2D => run2('Max', { x }, { reductionIndices: 1, keepDims: true });

/** [N,K] · [K,M]. Plain 2-D products are the fast ones, and the only ones whose rows don't depend on the batch (wasm). */
export const matMul = (a: tfjs.Tensor2D, b: tfjs.Tensor2D): tfjs.Tensor2D =>
  run2('BatchMatMul', { a, b }, { transposeA: false, transposeB: false });

/** `count` rows of [N,W] from `start` on; the tensor itself when those are all. */
export const rowsFrom = (x: tfjs.Tensor2D, start: number, count: number): tfjs.Tensor2D =>
  x.shape[0] === count ? x : run2('Slice', { x }, { begin: [start, 0], size: [count, x.shape[1]] });
/** `count` columns of [N,W] from `start` on; the tensor itself when those are all. */
export const columnsFrom = (x: tfjs.Tensor2D, start: number, count: number): tfjs.Tensor2D =>
  x.shape[1] === count ? x : run2('Slice', { x }, { begin: [0, start], size: [x.shape[0], count] });
/** Blocks of rows, one above the other; a single block is itself. */
export const stackRows = (blocks: readonly tfjs.Tensor2D[]): tfjs.Tensor2D => join(blocks, 0);
/** Blocks of columns, side by side; a single block is itself. */
export const joinColumns = (blocks: readonly tfjs.Tensor2D[]): tfjs.Tensor2D => join(blocks, 1);
const join = (blocks: readonly tfjs.Tensor2D[], axis: number): tfjs.Tensor2D =>
  blocks.length === 1 ? blocks[0]! : run2('Concat', [...blocks], { axis });

export const reshape = (x: tfjs.Tensor2D, shape: readonly [number, number]): tfjs.Tensor2D =>
  run2('Reshape', { x }, { shape: [...shape] });
export const transpose = (x: tfjs.Tensor2D): tfjs.Tensor2D => run2('Transpose', { x }, { perm: [1, 0] });

/** [A·B,W] rows (a, b) → rows (b, a). Free where A or B is 1. */
export function swapRows(x: tfjs.Tensor2D, outer: number, inner: number): tfjs.Tensor2D {
  const width = x.size / (outer * inner);
  if (outer === 1 || inner === 1) return reshape(x, [outer * inner, width]);
  const split = run('Reshape', { x }, { shape: [outer, inner, width] });
  const swapped = run('Transpose', { x: split }, { perm: [1, 0, 2] });
  return run2('Reshape', { x: swapped }, { shape: [outer * inner, width] });
}

/** Adds a block [N,W] to each of the blocks that x [B·N,W] is stacked of. */
export function addToBlocks(x: tfjs.Tensor2D, block: tfjs.Tensor2D): tfjs.Tensor2D {
  const [numRows, width] = block.shape;
  if (x.shape[0] === numRows) return add(x, block);
  const split = run('Reshape', { x }, { shape: [x.shape[0] / numRows, numRows, width] });
  return run2('Reshape', { x: run('Add', { a: split, b: block }) }, { shape: [x.shape[0], width] });
}

/** Rows of a table [V,W] by number: [N,W]. */
export const gatherRows = (table: tfjs.Tensor2D, rows: Int32Array): tfjs.Tensor2D =>
  run2('GatherV2', { x: table, indices: tf.tensor(rows, [rows.length], 'int32') }, { axis: 0, batchDims: 0 });

/** float32 rows [N·W] as a tensor [N,W]; the values must not change afterwards. */
export const toTensor = (values: Float32Array, shape: readonly [number, number]): tfjs.Tensor2D =>
  tf.tensor(values, [...shape], 'float32');

/** A tensor's values, row-major. The only way back to numbers that every backend has (webgpu cannot read synchronously). */
export const rowsOf = async (tensor: tfjs.Tensor): Promise<Float32Array> => (await tensor.data()) as Float32Array;
