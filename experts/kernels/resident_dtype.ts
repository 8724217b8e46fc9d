/** Element types of weights in a kernel memory, and what rows of them take. Pure. */

/** In the order of their numbers in memory.as.ts. */
export const RESIDENT_DTYPES = ['f32', 'bf16', 'int8'] as const;
export type ResidentDtype = (typeof RESIDENT_DTYPES)[number];

/** Rows are padded with zeros to whole multiples of this many values (memory.as.ts); int8: values that share a scale. */
export const ROW_ALIGN = 32;

/** Bytes of a value, or of int8's code. */
export const CODE_BYTES: Readonly<Record<ResidentDtype, number>> = { f32: 4, bf16: 2, int8: 1 };

/** Values of a padded row of `width`. */
export const padded = (width: number): number => Math.ceil(width / ROW_ALIGN) * ROW_ALIGN;

/** Bytes of the float32 scales of a row; only int8 has any. */
export const scaleBytes = (dtype: ResidentDtype, columns: number): number =>
  dtype === 'int8' ? (4 * padded(columns)) / ROW_ALIGN : 0;

/** Bytes of a matrix's elements and scales in a kernel memory. */
export const residentBytes = (dtype: ResidentDtype, rows: number, columns: number): number =>
  rows * (padded(columns) * CODE_BYTES[dtype] + scaleBytes(dtype, columns));

/** Bytes of a row outside of a memory, without padding: values; int8: codes, then the row's float32 scales. */
export const residentRowBytes = (dtype: ResidentDtype, columns: number): number =>
  columns * CODE_BYTES[dtype] + scaleBytes(dtype, columns);
