/** Layouts that the kernels and their callers share. Addresses are bytes; sizes are elements. */

/** Rows of activations and inputs of weights are padded with zeros to whole multiples of this many values. */
export const ROW_ALIGN: i32 = 32;
/** Outputs that lie side by side: a panel. */
export const PANEL: i32 = 16;
/** Bytes of a word of each of a panel's outputs. */
export const PANEL_ROW: usize = 64;

/** Element types of resident weights. */
export const F32: i32 = 0;
export const BF16: i32 = 1;
/** Codes with one float32 scale per {@link ROW_ALIGN} values of an output; a weight is code · scale, rounded to float32. Whole numbers: */
export const INT8: i32 = 2;
/** E4M3. */
export const FP8: i32 = 3;
/** Whole numbers −8 … 7, in four bits. */
export const INT4: i32 = 4;
/** E2M1, in four bits. */
export const FP4: i32 = 5;
/** Whole numbers 0 … 15, in four bits: of a group a float32 scale and a whole zero, and a weight is (code − zero) · scale, rounded to float32. */
export const UINT4: i32 = 6;
/** Of checkpoints: no matrix is resident as it. */
export const F16: i32 = 7;

/**
 * A resident matrix: `rows` outputs of `stride` inputs (padded), in panels of {@link PANEL} outputs; the last is filled up with outputs of zeros.
 * An output is a row of words of 32 bits: an f32 value, two of bf16, or four codes of int8 or fp8, or eight of four bits (lowest bits first), with a group's scale, and of uint4 its zero, before its codes.
 * A panel has the first word of each output, then the second of each, …: one stream for a product. Callers write the matrix as four words.
 * Why: docs/decisions/kernels.md#panels-of-sixteen-outputs, docs/decisions/formats.md#codes-stay-codes
 */
@unmanaged
export class Matrix {
  /** First panel. */
  data: usize;
  dtype: i32;
  rows: i32;
  stride: i32;
}

/** Words of `count` values of an output, whole groups. */
export function wordsOf(dtype: i32, count: i32): i32 {
  return dtype == F32 ? count : dtype == BF16 ? count >> 1 : (count >> 5) * groupWords(dtype);
}

/** Words of a group of an output: of a type with codes. */
export function groupWords(dtype: i32): i32 {
  return dtype <= FP8 ? 9 : dtype == UINT4 ? 6 : 5;
}

export function panelBytes(w: Matrix): usize {
  return <usize>wordsOf(w.dtype, w.stride) * PANEL_ROW;
}

export function numPanels(w: Matrix): i32 {
  return (w.rows + PANEL - 1) / PANEL;
}

/** Where memory that callers may hand out begins: all static areas lie before it. */
export const heapBase: usize = __heap_base;

/** How far a thread's own copy of the static areas lies behind those of the first thread, which has 0. */
let threadOffset: usize = 0;

/** The calling instance of the module takes its static areas from `heapBase` bytes at `at` on; 0: the first thread's. */
export function useStatics(at: usize): void {
  threadOffset = at;
}

/**
 * Where the calling thread has the static area `at` (what `memory.data` returned): threads share the memory, and each has areas of its own.
 * Why: docs/decisions/threads.md#one-memory-an-instance-per-thread
 */
export function here(at: usize): usize {
  return at + threadOffset;
}

export function padded(width: i32): i32 {
  return (width + ROW_ALIGN - 1) & ~(ROW_ALIGN - 1);
}
