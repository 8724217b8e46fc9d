/** Element types of weights in a kernel memory, and what they take. Pure. */
import { SCALE_GROUP, weightRowBytes, type WeightDtype } from '../../base/weight_matrix.js';

/** Their order gives their numbers in memory.as.ts. */
export { CHOICE_DTYPES, WEIGHT_DTYPES as RESIDENT_DTYPES } from '../../base/weight_matrix.js';
/** A type that the kernels compute with: any that a matrix of weights may have. */
export type ResidentDtype = WeightDtype;

/** Inputs are padded with zeros to whole multiples of this many values (memory.as.ts). */
export const ROW_ALIGN = SCALE_GROUP;
/** Outputs are padded to whole multiples of so many: a panel (memory.as.ts). */
export const PANEL = 16;

/** Values of a padded row of `width`. */
export const padded = (width: number): number => Math.ceil(width / ROW_ALIGN) * ROW_ALIGN;

/** Outputs of whole panels. */
export const paddedRows = (rows: number): number => Math.ceil(rows / PANEL) * PANEL;

/** Bytes of a matrix's elements and scales in a kernel memory. */
export const residentBytes = (dtype: ResidentDtype, rows: number, columns: number): number =>
  paddedRows(rows) * weightRowBytes(dtype, padded(columns));
