/**
 * The load of the last steps, older ones counting less if so wished: pure, and of constant memory. Shape suffixes: L MoE layers, E experts.
 * Why: docs/decisions/measuring.md#load-is-always-counted
 */
import { ExpertError } from '../../compute/base/errors.js';
import { countsOf, countsText, type ExpertCounts } from '../placement/expert_counts.js';

/** The shape of a load, and which steps count. */
export interface LoadWindowOptions {
  readonly numLayers: number;
  readonly numExperts: ExpertCounts;
  /** Steps that count; Infinity: all, which takes no memory per step. Otherwise 4 bytes × steps × experts of all layers, touched as steps come. */
  readonly windowSize: number;
  /** What a step weighs one step later, 0 < decay ≤ 1. Default 1: all steps of the window alike. */
  readonly decay?: number;
}

/** 4 GiB of them. */
const MAX_COUNTS = 2 ** 30;

/** Σ over the last `windowSize` steps of decay^age · load: a sliding window, an exponential decay, or both. */
export class LoadWindow {
  private readonly options: Required<Pick<LoadWindowOptions, 'windowSize' | 'decay'>>;
  /** Of a step, over all layers. */
  private readonly numCounts: number;
  /** [L][E]; changes with the next step. */
  readonly load_LE: readonly Float64Array[];
  /** [windowSize][L·E] of whole counts; empty without a window. */
  private readonly ring: Uint32Array;
  /** What the step that leaves the window weighs. */
  private readonly lastWeight: number;
  private numPushed = 0;

  /** @throws ExpertError INVALID_ARGUMENT */
  constructor(options: LoadWindowOptions) {
    const { numLayers, numExperts, windowSize, decay = 1 } = options;
    if (windowSize !== Infinity && !(Number.isSafeInteger(windowSize) && windowSize >= 1)) {
      throw new ExpertError('INVALID_ARGUMENT', `windowSize is ${windowSize}; give a whole number from 1, or Infinity`);
    }
    const counts = countsOf(numExperts, numLayers);
    this.numCounts = counts.reduce((sum, count) => sum + count, 0);
    if (windowSize !== Infinity && windowSize * this.numCounts > MAX_COUNTS) {
      const shape = `${windowSize} steps of ${numLayers} layers of ${countsText(numExperts)} experts`;
      throw new ExpertError('INVALID_ARGUMENT', `${shape} are more than ${MAX_COUNTS} counts; take fewer steps`);
    }
    if (!(decay > 0 && decay <= 1)) {
      throw new ExpertError('INVALID_ARGUMENT', `decay is ${decay}; give a number above 0, at most 1`);
    }
    this.options = { windowSize, decay };
    this.load_LE = counts.map((count) => new Float64Array(count));
    this.ring = new Uint32Array(windowSize === Infinity ? 0 : windowSize * this.numCounts);
    this.lastWeight = decay ** windowSize;
  }

  /** Steps that count now. */
  get numSteps(): number {
    return Math.min(this.numPushed, this.options.windowSize);
  }

  /** Adds one step's load [L][E], whole counts; the step that is `windowSize` older leaves. */
  push(step_LE: readonly ArrayLike<number>[]): void {
    const { windowSize, decay } = this.options;
    let at = windowSize === Infinity ? 0 : (this.numPushed % windowSize) * this.numCounts;
    for (const [layer, sum_E] of this.load_LE.entries()) {
      const load_E = step_LE[layer]!;
      for (let e = 0; e < sum_E.length; e++, at++) {
        const leaving = windowSize === Infinity ? 0 : this.ring[at]! * this.lastWeight;
        // Rounding may leave less than nothing of a decayed load.
        sum_E[e] = Math.max(0, sum_E[e]! * decay - leaving + load_E[e]!);
        if (windowSize !== Infinity) this.ring[at] = load_E[e]!;
      }
    }
    this.numPushed++;
  }
}
