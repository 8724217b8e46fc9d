/**
 * Operations on tensors. They go straight to the kernels: TensorFlow.js's own wrappers check and convert arguments anew each time, which took a third of the
 * time of a decoding step at batch 1. Shapes are the callers' business; broadcasting is as in NumPy.
 * Why: docs/decisions/tensorflow.md#kernels-are-called-directly
 */
import { FUSED, isFused } from '../library/fused_kernels.js';
import type { Tensor, Tensor2D } from '../../base/tensor.js';
import { countDownload, countUpload } from './transfers.js';
import { isTfLoaded, tf, type NamedAttrMap, type NamedTensorMap } from '../library/tfjs.js';

/** Keeps a tensor that a tidy would dispose. */
export const keep = <T extends Tensor>(tensor: T): T => (tf.keep as unknown as (tensor: T) => T)(tensor);
/** Another tensor of the same values, in the same memory. */
export const clone = <T extends Tensor>(tensor: T): T => (tf.clone as unknown as (tensor: T) => T)(tensor);
/** Disposes every tensor that `compute` made and doesn't return; synchronous. */
export const tidy = <T>(compute: () => T): T => (tf.tidy as unknown as (compute: () => T) => T)(compute);

/** Tensors alive in this process and the bytes they hold. */
export function tensorMemory(): { readonly numTensors: number; readonly numBytes: number } {
  if (!isTfLoaded()) return { numTensors: 0, numBytes: 0 };
  const { numTensors, numBytes } = tf.memory();
  return { numTensors, numBytes };
}

/** Whether the active backend keeps tensors where the program can't reach: on a GPU. */
export const hasOwnMemory = (): boolean =>
  tf.getBackend() === 'webgpu' || (tf.backend() as Partial<GpuUse>).isUsingGpuDevice === true;

/** What the backend of tfjs-node tells of itself. */
interface GpuUse {
  readonly isUsingGpuDevice: boolean;
}

function run(kernel: string, inputs: Readonly<Record<string, Tensor>> | Tensor[], attributes?: NamedAttrMap): Tensor {
  return tf.engine().runKernel(kernel, inputs as unknown as NamedTensorMap, attributes) as Tensor;
}

const run2 = (...call: Parameters<typeof run>): Tensor2D => run(...call) as Tensor2D;

/** a + b, element by element. */
export const add = (a: Tensor2D, b: Tensor2D): Tensor2D => run2('Add', { a, b });
const sub = (a: Tensor2D, b: Tensor2D): Tensor2D => run2('Sub', { a, b });
/** a · b, element by element. */
export const mul = (a: Tensor2D, b: Tensor2D): Tensor2D => run2('Multiply', { a, b });
/** a / b, element by element. */
export const div = (a: Tensor2D, b: Tensor2D): Tensor2D => run2('RealDiv', { a, b });
/** Between −limit and limit, element by element; NaN stays. */
export const clamp = (x: Tensor2D, limit: number): Tensor2D =>
  run2('ClipByValue', { x }, { clipValueMin: -limit, clipValueMax: limit });
const minimum = (a: Tensor2D, b: Tensor2D): Tensor2D => run2('Minimum', { a, b });
const exp = (x: Tensor2D): Tensor2D => run2('Exp', { x });
/** 1 / (1 + exp(−x)), element by element. */
export const sigmoid = (x: Tensor2D): Tensor2D => run2('Sigmoid', { x });
const square = (x: Tensor2D): Tensor2D => run2('Square', { x });
const rsqrt = (x: Tensor2D): Tensor2D => run2('Rsqrt', { x });

/** x · (mean(x²) + eps)^−½ · weight for the rows of [N,W]; weight is [1,W]. */
export function rmsNorm(x: Tensor2D, weight: Tensor2D, eps: number): Tensor2D {
  if (isFused(FUSED.rmsNorm)) return run2(FUSED.rmsNorm, { x, weight }, { eps });
  return tidy(() => mul(mul(x, rsqrt(add(rowMeans(square(x)), toTensor(Float32Array.of(eps), [1, 1])))), weight));
}

/** Rows of [N,W] without their means. */
export const centred = (x: Tensor2D): Tensor2D => tidy(() => sub(x, rowMeans(x)));

/** [gate | up] rows [N,2I] → silu(gate)·up [N,I]. */
export function swiglu(x: Tensor2D): Tensor2D {
  if (isFused(FUSED.swiglu)) return run2(FUSED.swiglu, { x });
  return tidy(() => {
    const intermediate = x.shape[1] / 2;
    const gate = columnsFrom(x, 0, intermediate);
    return mul(mul(gate, sigmoid(gate)), columnsFrom(x, intermediate, intermediate));
  });
}

/** [gate | up] rows [N,2I] → with gate at most `limit` and up within ± `limit`: gate · sigmoid(alpha · gate) · (up + 1) [N,I]. */
export function clampedSwiglu(x: Tensor2D, limit: number, alpha: number): Tensor2D {
  return tidy(() => {
    const intermediate = x.shape[1] / 2;
    const glu = tidy(() => {
      const gate = minimum(columnsFrom(x, 0, intermediate), constant(limit));
      return mul(gate, sigmoid(mul(gate, constant(alpha))));
    });
    return mul(
      glu,
      tidy(() => add(clamp(columnsFrom(x, intermediate, intermediate), limit), constant(1))),
    );
  });
}

/** [1,1], made by the backend. */
const constant = (value: number): Tensor2D => run2('Fill', {}, { shape: [1, 1], value, dtype: 'float32' });

/** exp(x − the row's maximum), for the rows of [N,W]. */
export function expOfRows(x: Tensor2D): Tensor2D {
  if (isFused(FUSED.expRows)) return run2(FUSED.expRows, { x });
  return tidy(() => exp(sub(x, rowMaxima(x))));
}

/** Means of the rows of [N,W]: [N,1]. */
const rowMeans = (x: Tensor2D): Tensor2D => run2('Mean', { x }, { axis: 1, keepDims: true });
/** Largest values of the rows of [N,W]: [N,1]. */
const rowMaxima = (x: Tensor2D): Tensor2D => run2('Max', { x }, { reductionIndices: 1, keepDims: true });

/** [N,K] · [K,M]. Plain 2-D products are the fast ones, and the only ones whose rows don't depend on the batch (wasm). */
export const matMul = (a: Tensor2D, b: Tensor2D): Tensor2D =>
  isFused(FUSED.matMul)
    ? run2(FUSED.matMul, { a, b })
    : run2('BatchMatMul', { a, b }, { transposeA: false, transposeB: false });

/** A·Bᵀ for each of B blocks of rows that lie below each other: [B·N,K] and [B·M,K] → [B·N,M]. */
export function matMulByBlocks(a: Tensor2D, b: Tensor2D, numBlocks: number): Tensor2D {
  const blocksOf = (x: Tensor2D): Tensor =>
    run('Reshape', { x }, { shape: [numBlocks, x.shape[0] / numBlocks, x.shape[1]] });
  const products = run('BatchMatMul', { a: blocksOf(a), b: blocksOf(b) }, { transposeA: false, transposeB: true });
  return run2('Reshape', { x: products }, { shape: [a.shape[0], b.shape[0] / numBlocks] });
}

/** Whether one batched product takes less time than as many plain ones. On wasm and cpu it takes 5 to 60 times as long. */
export const hasFastBatches = (): boolean => ['tensorflow', 'webgpu'].includes(tf.getBackend());

/** `count` rows of [N,W] from `start` on; the tensor itself when those are all. */
export const rowsFrom = (x: Tensor2D, start: number, count: number): Tensor2D =>
  x.shape[0] === count ? x : run2('Slice', { x }, { begin: [start, 0], size: [count, x.shape[1]] });
/** `count` columns of [N,W] from `start` on; the tensor itself when those are all. */
export const columnsFrom = (x: Tensor2D, start: number, count: number): Tensor2D =>
  x.shape[1] === count ? x : run2('Slice', { x }, { begin: [0, start], size: [x.shape[0], count] });
/** Blocks of rows, one above the other; a single block is itself. */
export const stackRows = (blocks: readonly Tensor2D[]): Tensor2D => join(blocks, 0);
/** Blocks of columns, side by side; a single block is itself. */
export const joinColumns = (blocks: readonly Tensor2D[]): Tensor2D => join(blocks, 1);
const join = (blocks: readonly Tensor2D[], axis: number): Tensor2D =>
  blocks.length === 1 ? blocks[0]! : run2('Concat', [...blocks], { axis });

/** The same values, row by row, in another shape. */
export const reshape = (x: Tensor, shape: readonly [number, number]): Tensor2D =>
  run2('Reshape', { x }, { shape: [...shape] });
/** [N,W] → [W,N]. */
export const transpose = (x: Tensor2D): Tensor2D => run2('Transpose', { x }, { perm: [1, 0] });

/** [A·B,W] rows (a, b) → rows (b, a). Free where A or B is 1. */
export function swapRows(x: Tensor2D, outer: number, inner: number): Tensor2D {
  const width = x.size / (outer * inner);
  if (outer === 1 || inner === 1) return reshape(x, [outer * inner, width]);
  const split = run('Reshape', { x }, { shape: [outer, inner, width] });
  const swapped = run('Transpose', { x: split }, { perm: [1, 0, 2] });
  return run2('Reshape', { x: swapped }, { shape: [outer * inner, width] });
}

/** Adds a block [N,W] to each of the blocks that x [B·N,W] is stacked of. */
export function addToBlocks(x: Tensor2D, block: Tensor2D): Tensor2D {
  const [numRows, width] = block.shape;
  if (x.shape[0] === numRows) return add(x, block);
  const split = run('Reshape', { x }, { shape: [x.shape[0] / numRows, numRows, width] });
  return run2('Reshape', { x: run('Add', { a: split, b: block }) }, { shape: [x.shape[0], width] });
}

/** Sums of each `count` rows of [N·count,W] that follow each other: [N,W]. */
export function sumBlocks(x: Tensor2D, count: number): Tensor2D {
  if (count === 1) return x;
  const split = run('Reshape', { x }, { shape: [x.shape[0] / count, count, x.shape[1]] });
  return run2('Sum', { x: split }, { axis: 1, keepDims: false });
}

/** Rows of a table [V,W] by number: [N,W]. */
export function gatherRows(table: Tensor2D, rows: Int32Array): Tensor2D {
  countUpload(rows.byteLength);
  return run2('GatherV2', { x: table, indices: tf.tensor(rows, [rows.length], 'int32') }, { axis: 0, batchDims: 0 });
}

/** float32 rows [N·W] as a tensor [N,W]; the values must not change afterwards. */
export function toTensor(values: Float32Array, shape: readonly [number, number]): Tensor2D {
  countUpload(values.byteLength);
  return tf.tensor2d(values, [...shape], 'float32');
}

/** A tensor's values, row-major. The only way back to numbers that every backend has (webgpu cannot read synchronously). */
export async function rowsOf(tensor: Tensor): Promise<Float32Array> {
  const values = (await tensor.data()) as Float32Array;
  countDownload(values.byteLength);
  return values;
}
