/** How often guesses came true, by how likely they were said to be: what decides whether it pays to act on them. No effects outside. */

const NUM_BINS = 16;
/** Guesses before anything is known of their like. */
const FEWEST = 16;
/** Guesses beyond which older ones fade. */
const MOST = 512;

/** Counts all guesses, also those that nobody acted on. */
export class GuessRecord {
  private readonly made = new Float64Array(NUM_BINS);
  private readonly true = new Float64Array(NUM_BINS);

  /** What came of a guess. @param chance 0 … 1 */
  count(chance: number, isTrue: boolean): void {
    const bin = binOf(chance);
    this.made[bin]!++;
    this.true[bin]! += Number(isTrue);
    if (this.made[bin]! <= MOST) return;
    this.made[bin]! /= 2;
    this.true[bin]! /= 2;
  }

  /** The share of guesses about as likely that came true; 0 while few are known. */
  shareTrue(chance: number): number {
    const bin = binOf(chance);
    return this.made[bin]! < FEWEST ? 0 : this.true[bin]! / this.made[bin]!;
  }
}

const binOf = (chance: number): number => Math.min(NUM_BINS - 1, Math.floor(NUM_BINS * chance));
