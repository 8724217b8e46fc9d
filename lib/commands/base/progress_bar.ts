import { SingleBar } from 'cli-progress';
import type { Output } from './context.js';

/** One line that fills up, from 0 to 1, and is gone at the end; silent where no terminal shows it. */
export class ProgressBar {
  private readonly bar: SingleBar | null;
  private note = '';

  /** @param what is going on: 'loading 2 ranks' */
  constructor(stderr: Output, what: string) {
    const format = (_options: unknown, { value }: { readonly value: number }): string =>
      `${lineOf(what, value)}${this.note}`;
    this.bar =
      stderr.isTTY === true ? new SingleBar({ format, stream: stderr, clearOnComplete: true, hideCursor: true }) : null;
    this.bar?.start(1, 0);
  }

  /** `fraction`: from 0 to 1; `note` stands behind it. */
  update(fraction: number, note = ''): void {
    this.note = note;
    this.bar?.update(fraction);
  }

  /** Idempotent. */
  close(): void {
    this.bar?.stop();
  }
}

const WIDTH = 30;

function lineOf(what: string, fraction: number): string {
  const done = Math.round(fraction * WIDTH);
  return `${what} ${'█'.repeat(done)}${'░'.repeat(WIDTH - done)} ${Math.round(100 * fraction)} %`;
}
