/** Element types of weights in a kernel memory, and what rows of them take. Pure. */

import { SCALE_GROUP, type WeightDtype } from '../../base/weight_matrix.js';

/** Their order gives their numbers in memory.as.ts. */
export { WEIGHT_DTYPES as RESIDENT_DTYPES, weightRowBytes as residentRowBytes } from '../../base/weight_matrix.js';
/** A type that the kernels compute with: any that a matrix of weights may have. */
export type ResidentDtype = WeightDtype;

/** Rows are padded with zeros to whole multiples of this many values (memory.as.ts). */
export const ROW_ALIGN = SCALE_GROUP;

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
