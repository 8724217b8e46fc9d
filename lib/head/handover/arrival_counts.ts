/** What came of requests that were to go on here. */

/** Since the start. */
export interface ArrivalCounts {
  /** Requests that came from another instance, whose state was told. */
  readonly numOpened: number;
  /** Pulls that brought what they were to. */
  readonly numPulls: number;
  /** On the wire, of those. */
  readonly pulledBytes: number;
  /** Pulls that failed, each try once. */
  readonly numFailedPulls: number;
  /** Requests that went on here although their source was gone, or didn't say what it had to. */
  readonly numLostSources: number;
  /** Requests of whose tokens some were computed anew that the source had. */
  readonly numRecomputed: number;
  /** Requests that were given up before they went on here: their sources go on with them. */
  readonly numRolledBack: number;
}

/** Counts that grow. */
export type ArrivalCounter = { -readonly [Key in keyof ArrivalCounts]: ArrivalCounts[Key] };

/** Nothing happened yet. */
export const noArrivals = (): ArrivalCounter => ({
  ...{ numOpened: 0, numPulls: 0, pulledBytes: 0, numFailedPulls: 0 },
  ...{ numLostSources: 0, numRecomputed: 0, numRolledBack: 0 },
});
