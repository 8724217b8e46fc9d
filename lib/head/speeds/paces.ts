/** How much longer each rank takes than the median rank for the same work of one kind, from window to window. Pure. */
import { CostCurve, type CostSample } from './cost_curve.js';

/** Windows of which the median counts: one that something disturbed changes nothing. */
const NUM_WINDOWS = 5;
/** Windows without which nothing is said. */
const MIN_WINDOWS = 3;

/** Of one kind of work, by seat. */
export class Paces {
  private readonly curve = new CostCurve();
  /** Of the last windows. */
  private readonly ratios: number[][];

  constructor(numSeats: number) {
    this.ratios = Array.from({ length: numSeats }, () => []);
  }

  /** What one window came to; null: the rank isn't there, or had nothing of this to do. */
  add(samples: readonly (CostSample | null)[]): void {
    const known = samples.flatMap((sample, rank) => (sample === null ? [] : [{ rank, ...sample }]));
    if (known.length === 0) return;
    if (this.curve.msOf(1) === 0) this.curve.add(known);
    const ratios = known.map(({ rank, work, ms }) => ({ rank, ratio: ms / this.curve.msOf(work) }));
    const usual = lowerMedian(ratios.map(({ ratio }) => ratio));
    for (const { rank, ratio } of ratios) {
      const last = this.ratios[rank]!;
      last.push(ratio / usual);
      if (last.length > NUM_WINDOWS) last.shift();
    }
    this.curve.add(known.map(({ rank, work, ms }) => ({ work, ms: ms / lowerMedian(this.ratios[rank]!) })));
  }

  /** Times the median rank's time, of two ranks the faster one's; null: nobody knows yet. */
  of(rank: number): number | null {
    const last = this.ratios[rank]!;
    return last.length < MIN_WINDOWS ? null : lowerMedian(last);
  }

  /** What a rank of median speed takes for it. */
  msOf(work: number): number {
    return this.curve.msOf(work);
  }

  /** Somebody else has the seat. */
  forget(rank: number): void {
    this.ratios[rank]!.length = 0;
  }
}

/** Of as many above as below it the lower one. */
export function lowerMedian(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1]!;
}
