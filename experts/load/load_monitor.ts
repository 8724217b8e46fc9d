/** Counts the tokens that each expert was chosen for: pure, cheap enough to be always on. */
import { ExpertError } from '../../compute/base/errors.js';
import { countsOf, type ExpertCounts } from '../placement/expert_counts.js';

/** Load = tokens routed to the expert, counted at the source, per MoE layer and logical expert; or anything else that is counted per layer. */
export class LoadMonitor {
  /** The counts themselves, [L][E]: they go on counting. */
  readonly load_LE: readonly Float64Array[];

  constructor(numMoeLayers: number, numExperts: ExpertCounts) {
    this.load_LE = countsOf(numExperts, numMoeLayers).map((count) => new Float64Array(count));
  }

  /**
   * Adds the choices [T·K] of one step; −1 counts for nobody, nor does a choice whose replica [T·K] is −1: the expert's ranks are masked, and the token
   * goes nowhere.
   */
  record(moeLayer: number, topkIdx: Int32Array, physicalIdx: Int32Array = topkIdx): void {
    const counts_E = this.layer(moeLayer);
    for (let i = 0; i < topkIdx.length; i++) if (physicalIdx[i]! >= 0) counts_E[topkIdx[i]!]!++;
  }

  /** Adds another monitor's counts [L][E], for instance those of one rank's step. */
  merge(counts_LE: readonly ArrayLike<number>[]): void {
    counts_LE.forEach((layerCounts, moeLayer) => {
      const counts_E = this.layer(moeLayer);
      for (let e = 0; e < counts_E.length; e++) counts_E[e]! += layerCounts[e] ?? 0;
    });
  }

  /** Tokens per MoE layer and logical expert since the last reset, [L][E]; a copy. */
  snapshot(): Float64Array[] {
    return this.load_LE.map((counts_E) => counts_E.slice());
  }

  /** Sets all counts to zero. */
  reset(): void {
    for (const counts_E of this.load_LE) counts_E.fill(0);
  }

  private layer(moeLayer: number): Float64Array {
    const counts_E = this.load_LE[moeLayer];
    if (counts_E === undefined) {
      throw new ExpertError('INVALID_ARGUMENT', `MoE layer ${moeLayer} of ${this.load_LE.length}: count from 0`);
    }
    return counts_E;
  }
}
