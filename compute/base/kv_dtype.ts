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

/** What a token has in a lane. */
export interface KvRow {
  /** Values. */
  readonly width: number;
  /** Whether it has so few that in int8 one byte stands for its scale alone (storeNarrowRow in stored_rows.as.ts). */
  readonly isNarrow: boolean;
}

/** Bytes of a row. */
export const kvRowBytes = (dtype: KvDtype, { width, isNarrow }: KvRow): number =>
  (isNarrow ? KV_PARAMETER_BYTES[dtype] / 4 : KV_PARAMETER_BYTES[dtype]) + KV_VALUE_BYTES[dtype] * width;
