/**
 * Whether one rank is slow, which takes some windows to be believed. It has to be well for some before it counts as caught up, and for twice as many each
 * time that it fell behind again. Pure. Why: docs/decisions/elastic.md#slowness-takes-seconds-to-be-believed
 */

/** Windows in which a rank must be slow, one after the other, before it is called so. */
const BAD_WINDOWS = 5;
/** Windows in which it must be well after it fell behind for the first time, and the most that are asked of it. */
const FIRST_GOOD_WINDOWS = 4;
const MOST_GOOD_WINDOWS = 256;

/** Of one seat, while one rank has it. */
export class Slowness {
  private numBad = 0;
  private numGood = 0;
  private numWanted = 0;

  /** It fell behind, and hasn't caught up. */
  get isSlow(): boolean {
    return this.numGood < this.numWanted;
  }

  /**
   * After a window; true: that is news.
   *
   * @param pace times the median rank's time
   * @param slowFactor from here on it is slow; it is well again behind half the way back
   */
  judge(pace: number, slowFactor: number): boolean {
    const wasSlow = this.isSlow;
    if (wasSlow) this.numGood = pace < (1 + slowFactor) / 2 ? this.numGood + 1 : 0;
    else this.numBad = pace >= slowFactor ? this.numBad + 1 : 0;
    if (this.numBad === BAD_WINDOWS) this.fallBehind();
    return wasSlow !== this.isSlow;
  }

  private fallBehind(): void {
    this.numBad = 0;
    this.numGood = 0;
    this.numWanted = Math.min(Math.max(2 * this.numWanted, FIRST_GOOD_WINDOWS), MOST_GOOD_WINDOWS);
  }
}
