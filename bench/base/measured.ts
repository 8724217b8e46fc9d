/** What a measurement gives, whatever it measures. */
import { BenchError } from './errors.js';

/** One line of figures, by name: what the table shows and `--json` has. */
export type FigureRow = Readonly<Record<string, number | string>>;

/** What came of a measurement. */
export interface Measured {
  readonly formula: string;
  /** What the figures are compared with, in the same run. */
  readonly baseline: string;
  readonly aim: string;
  /** At least one; all have the figures of the first. */
  readonly rows: readonly FigureRow[];
  /** Answers whose tokens were looked at, and those that aren't what they would have been. */
  readonly answers: number;
  readonly changed: number;
}

/** Whether an answer begins as the other one, as far as both go. */
export const beginsAs = (one: readonly number[], other: readonly number[]): boolean =>
  one.slice(0, other.length).every((id, i) => id === other[i]);

/** @throws BenchError TOKENS_DIFFER where an answer was changed */
export function checkTokens(results: readonly Measured[], seed: number): void {
  const numChanged = results.reduce((sum, { changed }) => sum + changed, 0);
  if (numChanged === 0) return;
  const text = `${numChanged} answers aren't what they would have been; run --seed ${seed} again and report it`;
  throw new BenchError('TOKENS_DIFFER', text);
}
