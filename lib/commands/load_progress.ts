import { SingleBar } from 'cli-progress';
import type { Output } from './context.js';

/** One bar for the weights that all ranks read; silent where no terminal shows it. */
export class LoadProgress {
  private readonly bar: SingleBar | null;
  private readonly fractions = new Map<number, number>();

  constructor(stderr: Output, numRanks: number) {
    this.bar =
      stderr.isTTY === true ? new SingleBar({ format, stream: stderr, clearOnComplete: true, hideCursor: true }) : null;
    this.bar?.start(numRanks, 0);
  }

  update(rank: number, fraction: number): void {
    this.fractions.set(rank, fraction);
    this.bar?.update([...this.fractions.values()].reduce((sum, own) => sum + own, 0));
  }

  close(): void {
    this.bar?.stop();
  }
}

function format(_options: unknown, { value, total }: { value: number; total: number }): string {
  const width = 30;
  const done = Math.round((value / total) * width);
  const percent = Math.round((100 * value) / total);
  return `loading ${total} ${total === 1 ? 'rank' : 'ranks'} ${'█'.repeat(done)}${'░'.repeat(width - done)} ${percent} %`;
}
