/** Layouts that the kernels and their callers share. Addresses are bytes; sizes are elements. */

/** Rows of activations and weights are padded with zeros to whole multiples of this many values. */
export const ROW_ALIGN: i32 = 32;

/** Element types of resident weights. */
export const F32: i32 = 0;
export const BF16: i32 = 1;
/** Codes −127 … 127 with one float32 scale per {@link ROW_ALIGN} values of a row; a weight is code · scale, rounded to float32. */
export const INT8: i32 = 2;

/** A resident matrix in the checkpoint's layout: `rows` outputs, each a row of `stride` inputs (padded). Callers write it as five words. */
@unmanaged
export class Matrix {
  /** First row. */
  data: usize;
  /** float32 [rows · stride / ROW_ALIGN]; int8 only. */
  scales: usize;
  dtype: i32;
  rows: i32;
  stride: i32;
}

/** Bytes of a row of a matrix, and of its scales if it is INT8. */
export function rowBytes(matrix: Matrix): usize {
  return (<usize>matrix.stride) << (2 - matrix.dtype);
}
export function scaleBytes(matrix: Matrix): usize {
  return (<usize>matrix.stride) >> 3;
}

/** Where memory that callers may hand out begins: all static areas lie before it. */
export const heapBase: usize = __heap_base;

/** How far a thread's own copy of the static areas lies behind those of the first thread, which has 0. */
let threadOffset: usize = 0;

/** The calling instance of the module takes its static areas from `heapBase` bytes at `at` on; 0: the first thread's. */
export function useStatics(at: usize): void {
  threadOffset = at;
}

/** Where the calling thread has the static area `at` (what `memory.data` returned): threads share the memory, and each has areas of its own. */
export function here(at: usize): usize {
  return at + threadOffset;
}

export function padded(width: i32): i32 {
  return (width + ROW_ALIGN - 1) & ~(ROW_ALIGN - 1);
}
