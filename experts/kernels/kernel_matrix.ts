/** Matrices that live in a kernel memory. */
/** Element types of resident weights, in the order of their numbers in memory.as.ts. */
export const RESIDENT_DTYPES = ['f32', 'bf16', 'int8'] as const;
export type ResidentDtype = (typeof RESIDENT_DTYPES)[number];

/** Rows are padded with zeros to whole multiples of this many values (memory.as.ts); int8: values that share a scale. */
export const ROW_ALIGN = 32;

/** Values of a padded row of `width`. */
export const padded = (width: number): number => Math.ceil(width / ROW_ALIGN) * ROW_ALIGN;

/** Bytes that a matrix takes in a kernel memory. */
export function residentBytes(dtype: ResidentDtype, rows: number, columns: number): number {
  return rows * padded(columns) * BYTES_PER_VALUE[dtype];
}

/** int8: a code, and a share of the float32 scale. */
const BYTES_PER_VALUE: Readonly<Record<ResidentDtype, number>> = { f32: 4, bf16: 2, int8: 1 + 4 / ROW_ALIGN };
