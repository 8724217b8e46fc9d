/** What tiers did so far on one rank. Pure counting. */
import type { WeightDtype } from '../../compute/base/weight_matrix.js';

/** Uses of experts: an expert and a call that had rows for it. By MoE layer, in their order. */
export interface LayerCounts {
  /** It was resident. */
  readonly hits: readonly number[];
  /** It was resident because it was read ahead for this use. */
  readonly ahead: readonly number[];
  /** It was computed with a warm copy. */
  readonly warm: readonly number[];
  /** It was read, or still being read, when it was wanted: the step waited. */
  readonly waits: readonly number[];
  /** It was among those that were predicted, resident or not. */
  readonly predicted: readonly number[];
}

/** Of the copies in fewer bits that a rank keeps beside its resident experts. */
export interface WarmStats {
  readonly dtype: WeightDtype;
  /** What copies may take, and what their places take. */
  readonly maxBytes: number;
  readonly residentBytes: number;
  readonly numSlots: number;
  /** Copies that are there now. */
  readonly numResident: number;
  /** Copies that were made, and experts that were read because they were used warm. */
  readonly numMade: number;
  readonly numRaised: number;
}

/** Of one rank, since it started. */
export interface TierStats {
  /** What experts may take, and what their places take. */
  readonly maxBytes: number;
  readonly residentBytes: number;
  readonly numSlots: number;
  /** Experts that the rank holds, and those that are resident now. */
  readonly numHeld: number;
  readonly numResident: number;
  readonly layers: LayerCounts;
  /** Experts that were read from disk, of those the ones before they were wanted, and of those the ones that were used then. */
  readonly numReads: number;
  readonly numAhead: number;
  readonly numAheadUsed: number;
  readonly readBytes: number;
  /** How long calls waited for reads. */
  readonly waitMs: number;
  /** Default: there are no copies. */
  readonly warm?: WarmStats;
}

/** Counts by place of a MoE layer. */
export class TierCounts {
  numReads = 0;
  numAhead = 0;
  numAheadUsed = 0;
  readBytes = 0;
  waitMs = 0;
  numMade = 0;
  numRaised = 0;
  private readonly uses: Record<keyof LayerCounts, number[]>;

  constructor(numLayers: number) {
    const zeros = (): number[] => new Array<number>(numLayers).fill(0);
    this.uses = { hits: zeros(), ahead: zeros(), warm: zeros(), waits: zeros(), predicted: zeros() };
  }

  /** One use. */
  count(kind: keyof LayerCounts, place: number): void {
    this.uses[kind][place]!++;
  }

  /** A copy. */
  snapshot(): Pick<TierStats, 'layers' | 'numReads' | 'numAhead' | 'numAheadUsed' | 'readBytes' | 'waitMs'> {
    const { numReads, numAhead, numAheadUsed, readBytes, waitMs } = this;
    const { hits, ahead, warm, waits, predicted } = this.uses;
    const layers = {
      ...{ hits: [...hits], ahead: [...ahead], warm: [...warm] },
      ...{ waits: [...waits], predicted: [...predicted] },
    };
    return { layers, numReads, numAhead, numAheadUsed, readBytes, waitMs };
  }
}
