/**
 * What keys and values are kept as, in a cache and outside of it. Pure. Why: docs/decisions/kv_store.md#eight-bits-per-row
 */

/** From exact to smallest; kernels know them by their places. */
export const KV_DTYPES = ['f32', 'bf16', 'int8'] as const;
/** One of {@link KV_DTYPES}. */
export type KvDtype = (typeof KV_DTYPES)[number];

/**
 * Bytes before the values of each row of its own: of int8 a word with scale and minimum, bfloat16 each, the scale in the higher half. A value is then
 * minimum + code · scale (stored_rows.as.ts).
 */
export const KV_PARAMETER_BYTES: Readonly<Record<KvDtype, number>> = { f32: 0, bf16: 0, int8: 4 };

/** Bytes of a value. */
export const KV_VALUE_BYTES: Readonly<Record<KvDtype, number>> = { f32: 4, bf16: 2, int8: 1 };

/** Bytes of a row of so many values. */
export const kvRowBytes = (dtype: KvDtype, width: number): number =>
  KV_PARAMETER_BYTES[dtype] + KV_VALUE_BYTES[dtype] * width;
