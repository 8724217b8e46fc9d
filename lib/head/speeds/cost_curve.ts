/**
 * What work costs, as all ranks know it: a time that each step takes whatever there is to do, and a time per unit of work. A rank with half the work takes
 * more than half the time; without the first part it would look slower for being spared. Pure.
 */

/** What some steps came to on one rank, on average per step. */
export interface CostSample {
  /** In a unit of its own, above 0. */
  readonly work: number;
  readonly ms: number;
}

/** How much an earlier window counts beside the next one. */
const DECAY = 0.95;
/** Of how different amounts of work must be, to tell what doesn't depend on them: 1 − cos² of the angle between the two parts. */
const MIN_SPREAD = 1e-3;

/** ms = fixed + each · work, the best such line through all samples by relative error. */
export class CostCurve {
  /** Sums of 1/ms, work/ms and their products: what the normal equations of Σ (1 − (fixed + each · work) / ms)² need. */
  private u = 0;
  private v = 0;
  private uu = 0;
  private uv = 0;
  private vv = 0;
  private fixedMs = 0;
  private eachMs = 0;

  /** Samples of one window, of ranks of mean speed. */
  add(samples: readonly CostSample[]): void {
    this.u *= DECAY;
    this.v *= DECAY;
    this.uu *= DECAY;
    this.uv *= DECAY;
    this.vv *= DECAY;
    for (const { work, ms } of samples) {
      const [u, v] = [1 / ms, work / ms];
      this.u += u;
      this.v += v;
      this.uu += u * u;
      this.uv += u * v;
      this.vv += v * v;
    }
    this.solve();
  }

  /** What a rank of mean speed takes for it; 0 before the first sample. */
  msOf(work: number): number {
    return this.fixedMs + this.eachMs * work;
  }

  private solve(): void {
    const { u, v, uu, uv, vv } = this;
    if (vv === 0) return;
    const determinant = uu * vv - uv * uv;
    const isTold = determinant > MIN_SPREAD * uu * vv;
    const fixed = isTold ? (u * vv - v * uv) / determinant : 0;
    const each = isTold ? (v * uu - u * uv) / determinant : v / vv;
    // Neither part is negative: where one would be, the other is all.
    const isFixed = each < 0;
    this.fixedMs = isFixed ? u / uu : Math.max(fixed, 0);
    this.eachMs = isFixed ? 0 : fixed < 0 ? v / vv : each;
  }
}
