/** What metrics tell of batches. */
export interface BatchCounts {
  /** Batches that are kept, by their status. */
  readonly batches: ReadonlyMap<string, number>;
  /** Rows that were written since the server was made: of the outputs, and of the errors. */
  readonly numCompleted: number;
  readonly numFailed: number;
}

/** Of a server without any. */
export const NO_BATCHES: BatchCounts = { batches: new Map(), numCompleted: 0, numFailed: 0 };
