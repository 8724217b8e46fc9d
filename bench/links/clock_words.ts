/** What a clock and its thread agree on. */

/** Milliseconds of a clock that all threads of a machine share. */
export const fineNow = (): number => Number(process.hrtime.bigint()) / 1e6;

/** What a clock and its thread share: a count of changes, and the time of the next call. */
export interface ClockWords {
  readonly changes: Int32Array<SharedArrayBuffer>;
  readonly dueMs: Float64Array<SharedArrayBuffer>;
}
