import type { Output } from '../base/context.js';
import { ProgressBar } from '../base/progress_bar.js';

/** One bar for the weights that all ranks read; silent where no terminal shows it. */
export class LoadProgress {
  private readonly bar: ProgressBar;
  private readonly fractions = new Map<number, number>();

  constructor(
    stderr: Output,
    private readonly numRanks: number,
  ) {
    this.bar = new ProgressBar(stderr, `loading ${numRanks} ${numRanks === 1 ? 'rank' : 'ranks'}`);
  }

  /** `fraction`: how much one rank has read of what it has to, from 0 to 1. */
  update(rank: number, fraction: number): void {
    this.fractions.set(rank, fraction);
    this.bar.update([...this.fractions.values()].reduce((sum, own) => sum + own, 0) / this.numRanks);
  }

  /** Takes the bar away. Idempotent. */
  close(): void {
    this.bar.close();
  }
}
